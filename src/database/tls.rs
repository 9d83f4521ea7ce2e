//! Encryption of connections: what `sslmode` and `sslrootcert` ask for, by rustls.
//!
//! The meaning is libpq's, with two differences: without `sslrootcert` the roots are those of
//! the system (libpq looks for `~/.postgresql/root.crt`), and the host is looked for among the
//! certificate's alternative names only, never in its common name.

use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The stream of an encrypted connection.
pub(crate) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// The value of `sslmode`, from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(()),
        }
    }
}

/// The value of `sslrootcert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    File(String),
}

/// What of a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// How the connections of a database are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    pub mode: Mode,
    pub connector: Connector,
}

impl Tls {
    /// Reads the root certificates too, so that a bad file is told at start.
    pub fn new(mode: Option<Mode>, roots: Option<&Roots>, direct: bool) -> Result<Self, String> {
        let mode = match (mode, roots) {
            (None, Some(Roots::System)) => Mode::VerifyFull,
            (Some(mode), Some(Roots::System)) if mode < Mode::VerifyFull => {
                return Err(
                    "sets sslrootcert=system, which needs sslmode=verify-full: any public certificate would pass"
                        .into(),
                );
            }
            (mode, _) => mode.unwrap_or(Mode::Prefer),
        };
        if direct && mode < Mode::Require {
            return Err("sets sslnegotiation=direct, which needs sslmode=require, verify-ca or verify-full".into());
        }
        let check = match (mode, roots) {
            (Mode::VerifyFull, _) => Check::ChainAndName,
            (Mode::VerifyCa, _) | (Mode::Prefer | Mode::Require, Some(_)) => Check::Chain,
            (Mode::Disable, _) | (Mode::Prefer | Mode::Require, None) => Check::Nothing,
        };
        let certificates = match (check, roots) {
            (Check::Nothing, _) => Vec::new(),
            (_, Some(Roots::File(path))) => certificates_in(path)?,
            (_, Some(Roots::System) | None) => certificates_of_the_system()?,
        };
        let verifier = Verifier::new(check, certificates)?;
        Ok(Self { mode, connector: Connector::new(verifier, direct)? })
    }
}

fn certificates_in(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let file =
        std::fs::read(path).map_err(|error| format!("names sslrootcert {path:?}, which cannot be read: {error}"))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&file)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("names sslrootcert {path:?}, which is no PEM file: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("names sslrootcert {path:?}, which holds no certificate"));
    }
    Ok(certificates)
}

fn certificates_of_the_system() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let problem = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "asks to verify certificates, but this system has no roots{problem}: name a file with sslrootcert"
        ));
    }
    Ok(found.certs)
}

/// Checks of a server's certificate what was asked for. That the server holds its key is
/// checked always, or else channel binding would be worth nothing.
#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: RootCertStore,
    /// The certificates as given: one that is the server's own is trusted as it is, although
    /// the chain of a self-signed certificate cannot be built.
    pinned: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(check: Check, certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        if added == 0 && !certificates.is_empty() {
            return Err("names root certificates of which none can be used".into());
        }
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Ok(Self { check, roots, pinned: certificates, algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.check != Check::Nothing {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            if !self.pinned.contains(end_entity) {
                let algorithms = self.algorithms.all;
                verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
            }
            if self.check == Check::ChainAndName {
                verify_server_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Makes TLS sessions for tokio-postgres.
#[derive(Clone)]
pub(super) struct Connector {
    rustls: MakeRustlsConnect,
    needs_name: bool,
}

impl Connector {
    fn new(verifier: Verifier, direct: bool) -> Result<Self, String> {
        let needs_name = verifier.check == Check::ChainAndName;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("asks for TLS, which cannot be set up: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        if direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Self { rustls: MakeRustlsConnect::new(config), needs_name })
    }
}

/// Stands for a name that is none of DNS, such as the empty one of a Unix socket. An address,
/// because none is ever sent to the server.
const NO_NAME: &str = "0.0.0.0";

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, InvalidDnsNameError> {
        // Only where the name is checked must it be one that a certificate can carry.
        let is_usable = !host.is_empty() && (self.needs_name || ServerName::try_from(host).is_ok());
        let name = if is_usable { host } else { NO_NAME };
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.rustls, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_roots_are_not_for_weak_modes() {
        assert!(Tls::new(Some(Mode::VerifyCa), Some(&Roots::System), false).is_err());
        assert!(Tls::new(Some(Mode::Prefer), Some(&Roots::System), false).is_err());
    }

    #[test]
    fn direct_negotiation_needs_encryption() {
        assert!(Tls::new(None, None, true).is_err());
        assert!(Tls::new(Some(Mode::Require), None, true).is_ok());
    }

    #[test]
    fn a_root_file_that_is_missing_or_holds_no_certificate_is_told() {
        let missing = Roots::File("/nowhere/root.crt".into());
        let problem = Tls::new(Some(Mode::VerifyFull), Some(&missing), false).err().unwrap();
        assert!(problem.contains("/nowhere/root.crt"), "{problem}");
        let empty = Roots::File("/dev/null".into());
        let problem = Tls::new(Some(Mode::Require), Some(&empty), false).err().unwrap();
        assert!(problem.contains("no certificate"), "{problem}");
        // Not looked at where nothing is encrypted.
        assert!(Tls::new(Some(Mode::Disable), Some(&missing), false).is_ok());
    }

    #[test]
    fn a_host_that_no_certificate_can_name_is_refused_only_where_names_are_checked() {
        let mut lax = Connector::new(Verifier::new(Check::Nothing, Vec::new()).unwrap(), false).unwrap();
        let mut strict = Connector::new(Verifier::new(Check::ChainAndName, Vec::new()).unwrap(), false).unwrap();
        assert!(lax.make_tls_connect("").is_ok());
        assert!(lax.make_tls_connect("not a name").is_ok());
        assert!(strict.make_tls_connect("").is_ok(), "a Unix socket among several hosts");
        assert!(strict.make_tls_connect("my_db.example").is_ok());
        assert!(strict.make_tls_connect("not a name").is_err());
    }
}
