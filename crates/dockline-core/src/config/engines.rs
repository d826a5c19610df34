//! The drivers of a registry, and the configured aliases that they make.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::error::{Error, Result};
use crate::config::backend::{Backend, Engine, Session};
use crate::config::server_info::ServerInfo;
use crate::config::settings::{Settings, unknown_setting};

/// An alias, configured.
pub(crate) struct AliasConfig {
    pub(crate) alias: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) backend: Box<dyn Backend>,
    /// Its server has been asked for its limits, and the warnings are in the log.
    pub(crate) warned: AtomicBool,
    /// How many connections the server takes, once it was asked; else 0.
    pub(crate) max_connections: AtomicU64,
    /// The log says that the server takes no more connections.
    pub(crate) warned_of_full: AtomicBool,
}

impl AliasConfig {
    fn new(alias: Arc<str>, settings: Settings, backend: Box<dyn Backend>) -> Self {
        Self {
            alias,
            settings,
            backend,
            warned: AtomicBool::new(false),
            max_connections: AtomicU64::new(0),
            warned_of_full: AtomicBool::new(false),
        }
    }

    /// Keeps what the server says of itself and an error may have to tell.
    pub(crate) fn note(&self, info: &ServerInfo) {
        self.max_connections.store(info.max_connections.unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.settings.get_engine().is_some()
    }
}

/// The engines of a registry.
#[derive(Clone, Default)]
pub(crate) struct Engines {
    pub(crate) present: Vec<Arc<dyn Engine>>,
    pub(crate) absent: Vec<(&'static [&'static str], &'static str)>,
}

impl Engines {
    pub(crate) fn configure(&self, alias: &str, settings: Settings) -> Result<Arc<AliasConfig>> {
        let backend = self.open(alias, &settings).map_err(|error| error.with_alias(alias))?;
        Ok(Arc::new(AliasConfig::new(alias.into(), settings, backend)))
    }

    /// The same once more, for a process that was forked. Where that fails, connecting does.
    pub(crate) fn configure_anew(&self, config: &AliasConfig) -> Arc<AliasConfig> {
        let backend = self.open(&config.alias, &config.settings);
        let backend = backend.unwrap_or_else(|error| Box::new(Broken { vendor: config.backend.vendor(), error }));
        let anew = AliasConfig::new(Arc::clone(&config.alias), config.settings.clone(), backend);
        anew.warned.store(config.warned.load(Ordering::Relaxed), Ordering::Relaxed);
        anew.max_connections.store(config.max_connections.load(Ordering::Relaxed), Ordering::Relaxed);
        Arc::new(anew)
    }

    fn open(&self, alias: &str, settings: &Settings) -> Result<Box<dyn Backend>> {
        settings.check()?;
        let Some(scheme) = settings.get_engine() else {
            let parts = [settings.get_name(), settings.get_host(), settings.get_user()];
            if parts.iter().any(Option::is_some) {
                return Err(Error::config("setting engine: it is missing; write it, or a url"));
            }
            return Ok(Box::new(Unconfigured));
        };
        let engine = self.find(scheme)?;
        for option in settings.option_names() {
            if !engine.options().contains(&option) {
                return Err(unknown_setting(&format!("option of {scheme}"), option, engine.options()));
            }
        }
        engine.open(alias, settings)
    }

    /// Whether a scheme is that of a backend, also of one that is not compiled in.
    pub(crate) fn knows(&self, scheme: &str) -> bool {
        let absent = self.absent.iter().map(|(schemes, _)| *schemes);
        self.present.iter().map(|engine| engine.schemes()).chain(absent).any(|schemes| schemes.contains(&scheme))
    }

    fn find(&self, scheme: &str) -> Result<&dyn Engine> {
        if let Some(engine) = self.present.iter().find(|engine| engine.schemes().contains(&scheme)) {
            return Ok(&**engine);
        }
        if let Some((_, reason)) = self.absent.iter().find(|(schemes, _)| schemes.contains(&scheme)) {
            return Err(Error::config(format!("scheme {scheme:?}: {reason}")));
        }
        // SQLAlchemy's, and Java's.
        if let Some((base, _)) = scheme.split_once('+')
            && self.knows(base)
        {
            return Err(Error::config(format!(
                "unknown scheme: the part behind the + is a driver's of Python; write {base}:"
            )));
        }
        if scheme == "jdbc" {
            return Err(Error::config(
                "unknown scheme \"jdbc\": leave jdbc: out, and write user and password before the host, scheme://user:password@host/name",
            ));
        }
        let known: Vec<&str> = self.present.iter().flat_map(|engine| engine.schemes()).copied().collect();
        Err(unknown_setting("scheme", scheme, &known))
    }
}

/// The backend of an alias without an engine (Django's dummy backend).
struct Unconfigured;

impl Backend for Unconfigured {
    fn vendor(&self) -> &'static str {
        "unknown"
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        Err(Error::config(
            "no database is configured: set DATABASE_URL, write a dockline.toml, or call init with Databases",
        ))
    }
}

/// The backend of an alias whose settings, right in the parent, are wrong by now: a file that they name has gone, say.
struct Broken {
    vendor: &'static str,
    error: Error,
}

impl Backend for Broken {
    fn vendor(&self) -> &'static str {
        self.vendor
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        let error = Error::new(self.error.kind(), self.error.message().to_owned());
        Err(error.with_context("in a process that was forked"))
    }
}
