//! What the driver's errors of connecting mean.

use std::fmt;
use std::io;

use dockline_core::{Error, ErrorKind};
use dockline_net::{Deadline, Failure, Why, descriptors_left, explain, no_answer};
use mysql::DriverError;
use mysql::error::tls::TlsError;

use crate::error::{Phase, io_error, is_late, map};
use crate::plan::Endpoint;

/// Why an attempt has failed.
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    /// The server has no encryption.
    pub(crate) no_tls: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, no_tls: false }
    }
}

/// Where a connection is being made to, for errors.
pub(crate) struct Place<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) deadline: Deadline,
}

impl Place<'_> {
    /// What an error of the driver means.
    pub(crate) fn explain(&self, error: mysql::Error) -> Refusal {
        match error {
            mysql::Error::DriverError(error) => self.of_driver(error),
            mysql::Error::MySqlError(_) => {
                let mapped = self.of(map(error, Phase::Before, None));
                // 1053: it shuts down.
                let why = match mapped.code().as_deref() {
                    Some("1053") => Why::Starting,
                    _ if mapped.is_exhausted() => Why::Full,
                    _ => Why::Final,
                };
                Failure { error: mapped, why }.into()
            }
            mysql::Error::TlsError(TlsError::Tls(tls)) => Failure::last(self.of_tls(&tls)).into(),
            mysql::Error::TlsError(error) => {
                let error = self.error("2026", format_args!("TLS: {error}")).with_source(mysql::Error::TlsError(error));
                Failure::last(error).into()
            }
            error if is_late(&error) => self.late(Some(error)).into(),
            error => self.of_io(error).into(),
        }
    }

    fn of_driver(&self, error: DriverError) -> Refusal {
        match error {
            DriverError::TlsNotSupported => {
                let error = self.error("2026", "the server has no TLS, which the setting tls asks for");
                Refusal { failure: Failure::last(error), no_tls: true }
            }
            DriverError::ConnectTimeout => self.late(None).into(),
            DriverError::CouldNotConnect(why) => {
                // It keeps the text of the system's error, and not its number: so the system is asked.
                if let Err(error) = descriptors_left(1) {
                    return Failure::last(self.of(error.with_code("2002"))).into();
                }
                let text = why.map_or_else(|| "no address".to_owned(), |(_, text, _)| text);
                Failure::unreachable(self.error(self.code(), text)).into()
            }
            DriverError::UnknownAuthPlugin(plugin) => {
                let what = format_args!(
                    "the server asks for the authentication plugin {plugin:?}, which the driver does not have; give the user \
                     caching_sha2_password or mysql_native_password (a user that does not exist is asked for any plugin)"
                );
                Failure::last(self.error("2059", what)).into()
            }
            error => Failure::last(self.of(map(mysql::Error::DriverError(error), Phase::Before, None))).into(),
        }
    }

    fn of_io(&self, error: mysql::Error) -> Failure {
        let inner = io_error(&error).and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Failure::last(self.of_tls(tls));
        }
        let is_io = io_error(&error).is_some();
        let mapped = self.of(map(error, Phase::Before, None));
        if is_io { Failure::unreachable(mapped) } else { Failure::last(mapped) }
    }

    fn of_tls(&self, error: &rustls::Error) -> Error {
        self.error("2026", format_args!("TLS: {}", explain(error))).with_source(error.clone())
    }

    /// The server did not answer in time.
    pub(crate) fn late(&self, source: Option<mysql::Error>) -> Failure {
        let error = self.error(self.code(), no_answer(self.deadline));
        Failure::unreachable(source.into_iter().fold(error, Error::with_source))
    }

    /// 2002 for sockets and 2003 for hosts, as MySQL's own client.
    pub(crate) fn code(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Tcp { .. } => "2003",
            Endpoint::Socket(_) => "2002",
        }
    }

    pub(crate) fn error(&self, code: &str, what: impl fmt::Display) -> Error {
        self.of(Error::new(ErrorKind::Operational, what.to_string())).with_code(code)
    }

    /// An error, with the place.
    pub(crate) fn of(&self, error: Error) -> Error {
        error.with_context(format_args!("can't connect to MySQL server on {:?}", self.endpoint.name()))
    }
}
