//! TLS with rustls.

use std::error::Error as StdError;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
use rustls::crypto::aws_lc_rs as provider;
#[cfg(feature = "ring")]
use rustls::crypto::ring as provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Check, Mode, Roots};
use crate::postgres::problem::Problem;

/// The stream of an encrypted connection.
pub(crate) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

fn certificates_in(path: &str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let named = |problem: &str| Problem::from(format!("names sslrootcert {path:?}, which {problem}"));
    let file = std::fs::read(path).map_err(|error| named(&format!("cannot be read: {error}")).caused_by(error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&file)
        .collect::<Result<_, _>>()
        .map_err(|error| named(&format!("is no PEM file: {error}")).caused_by(error))?;
    if certificates.is_empty() {
        return Err(named("holds no certificate"));
    }
    Ok(certificates)
}

fn certificates_of_the_system() -> Result<Vec<CertificateDer<'static>>, Problem> {
    let found = rustls_native_certs::load_native_certs();
    if !found.certs.is_empty() {
        return Ok(found.certs);
    }
    let error = found.errors.into_iter().next();
    let why = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
    let problem = Problem::from(format!(
        "asks to verify certificates, but this system has no roots{why}: name a file with sslrootcert"
    ));
    Err(match error {
        Some(error) => problem.caused_by(error),
        None => problem,
    })
}

/// Checks a server's certificate as `sslmode` demands. Always checks that the server owns the key: otherwise channel
/// binding would be worthless.
#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: RootCertStore,
    /// The given certificates. If the server's own is among them, it is trusted without a chain: none can be built
    /// for a self-signed certificate.
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
        let algorithms = provider::default_provider().signature_verification_algorithms;
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

/// Whether encryption failed.
pub(in crate::postgres) fn is_tls_error(error: &(dyn StdError + Send + Sync + 'static)) -> bool {
    error.is::<rustls::Error>()
}

/// Makes TLS sessions for tokio-postgres.
#[derive(Clone)]
pub(in crate::postgres) struct Connector {
    rustls: MakeRustlsConnect,
    needs_name: bool,
}

impl Connector {
    /// Reads the root certificates now, so that a bad file is reported at startup.
    pub fn new(_: Mode, check: Check, roots: Option<&Roots>, direct: bool) -> Result<Self, Problem> {
        let certificates = match (check, roots) {
            (Check::Nothing, _) => Vec::new(),
            (_, Some(Roots::File(path))) => certificates_in(path)?,
            (_, Some(Roots::System) | None) => certificates_of_the_system()?,
        };
        Self::with(Verifier::new(check, certificates)?, direct)
    }

    fn with(verifier: Verifier, direct: bool) -> Result<Self, Problem> {
        let needs_name = verifier.check == Check::ChainAndName;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem::from(format!("asks for TLS, which cannot be set up: {error}")).caused_by(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        if direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Self { rustls: MakeRustlsConnect::new(config), needs_name })
    }
}

/// The placeholder for a name that is not a DNS name, such as the empty one of a Unix socket. It is an address, because
/// addresses are never sent to the server.
const NO_NAME: &str = "0.0.0.0";

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, InvalidDnsNameError> {
        // The name must be valid in a certificate only if it is checked.
        let is_usable = !host.is_empty() && (self.needs_name || ServerName::try_from(host).is_ok());
        let name = if is_usable { host } else { NO_NAME };
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.rustls, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_no_certificate_can_name_is_refused_only_where_names_are_checked() {
        let mut lax = Connector::with(Verifier::new(Check::Nothing, Vec::new()).unwrap(), false).unwrap();
        let mut strict = Connector::with(Verifier::new(Check::ChainAndName, Vec::new()).unwrap(), false).unwrap();
        assert!(lax.make_tls_connect("").is_ok());
        assert!(lax.make_tls_connect("not a name").is_ok());
        assert!(strict.make_tls_connect("").is_ok(), "a Unix socket among several hosts");
        assert!(strict.make_tls_connect("my_db.example").is_ok());
        assert!(strict.make_tls_connect("not a name").is_err());
    }
}
