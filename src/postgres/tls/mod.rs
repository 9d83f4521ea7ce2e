//! TLS: `sslmode` and `sslrootcert`.
//!
//! They mean the same as in libpq, with two differences: without `sslrootcert` the system's roots are used (libpq reads
//! `~/.postgresql/root.crt`), and the host is matched only against the certificate's alternative names, never its
//! common name.
//!
//! Promises: only `prefer` may connect unencrypted after encryption was refused. A bad file of root certificates is an
//! error at the start. Without a feature that has an implementation, this is a libpq without SSL: `prefer` connects
//! unencrypted, and a mode that needs encryption is refused.

#[cfg(feature = "_tls")]
mod rustls;
#[cfg(not(feature = "_tls"))]
mod unencrypted;

use std::str::FromStr;

use super::problem::Problem;

#[cfg(feature = "_tls")]
pub(crate) use rustls::Stream;
#[cfg(feature = "_tls")]
pub(super) use rustls::{Connector, is_tls_error};
#[cfg(not(feature = "_tls"))]
pub(crate) use unencrypted::Stream;
#[cfg(not(feature = "_tls"))]
pub(super) use unencrypted::{Connector, is_tls_error};

/// The values of `sslmode`, from weak to strong.
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

/// The checks of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// The TLS settings of a database.
#[derive(Clone)]
pub(super) struct Tls {
    pub mode: Mode,
    pub connector: Connector,
}

impl Tls {
    /// Reads the root certificates now, so that a bad file is reported at startup.
    pub fn new(mode: Option<Mode>, roots: Option<&Roots>, direct: bool) -> Result<Self, Problem> {
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
        let connector = Connector::new(mode, check, roots, direct)?;
        // Without an implementation, the server need not be asked.
        let mode = if cfg!(feature = "_tls") { mode } else { Mode::Disable };
        Ok(Self { mode, connector })
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

    #[cfg(feature = "_tls")]
    #[test]
    fn direct_negotiation_needs_encryption() {
        assert!(Tls::new(None, None, true).is_err());
        assert!(Tls::new(Some(Mode::Require), None, true).is_ok());
    }

    #[cfg(feature = "_tls")]
    #[test]
    fn a_root_file_that_is_missing_or_holds_no_certificate_is_an_error() {
        let missing = Roots::File("/nowhere/root.crt".into());
        let problem = Tls::new(Some(Mode::VerifyFull), Some(&missing), false).err().unwrap().to_string();
        assert!(problem.contains("/nowhere/root.crt"), "{problem}");
        let empty = Roots::File("/dev/null".into());
        let problem = Tls::new(Some(Mode::Require), Some(&empty), false).err().unwrap().to_string();
        assert!(problem.contains("no certificate"), "{problem}");
        // Not read without encryption.
        assert!(Tls::new(Some(Mode::Disable), Some(&missing), false).is_ok());
    }

    #[cfg(not(feature = "_tls"))]
    #[test]
    fn what_demands_encryption_is_refused_without_an_implementation() {
        for mode in [Mode::Require, Mode::VerifyCa, Mode::VerifyFull] {
            let problem = Tls::new(Some(mode), None, false).err().unwrap().to_string();
            assert!(problem.contains("feature"), "{problem}");
        }
        assert!(Tls::new(None, None, false).is_ok());
    }
}
