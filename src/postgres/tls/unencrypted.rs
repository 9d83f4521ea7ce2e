//! No TLS.

use std::error::Error as StdError;

use tokio_postgres::tls::{MakeTlsConnect, NoTlsError, NoTlsStream};
use tokio_postgres::{NoTls, Socket};

use super::{Check, Mode, Roots};
use crate::postgres::problem::Problem;

/// The stream of an encrypted connection, of which there is none.
pub(crate) type Stream = NoTlsStream;

/// Whether encryption failed.
pub(in crate::postgres) fn is_tls_error(_: &(dyn StdError + Send + Sync + 'static)) -> bool {
    false
}

#[derive(Clone)]
pub(in crate::postgres) struct Connector;

impl Connector {
    pub fn new(mode: Mode, _: Check, _: Option<&Roots>, _: bool) -> Result<Self, Problem> {
        if mode >= Mode::Require {
            return Err(
                "asks for an encrypted connection, which this build of postrider cannot make: enable its feature \
                        `ring` or `aws-lc-rs`"
                    .into(),
            );
        }
        Ok(Self)
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = NoTlsStream;
    type TlsConnect = NoTls;
    type Error = NoTlsError;

    fn make_tls_connect(&mut self, host: &str) -> Result<NoTls, NoTlsError> {
        MakeTlsConnect::<Socket>::make_tls_connect(&mut NoTls, host)
    }
}
