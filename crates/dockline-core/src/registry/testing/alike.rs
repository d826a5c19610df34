//! Registries like another one.

use std::sync::Arc;

use crate::base::error::Result;
use crate::config::engines::AliasConfig;
use crate::config::settings::Databases;
use crate::registry::{Registry, RegistryBuilder};

/// A registry with the same engines and aliases, but that one leads to this database.
pub(super) fn registry_on(registry: &Registry, alias: &str, name: &str) -> Result<Registry> {
    let table = registry.shared().table()?;
    let each = |databases: Databases, config: &Arc<AliasConfig>| {
        let settings = config.settings.clone();
        let settings = if &*config.alias == alias { settings.name(name) } else { settings };
        databases.with(&*config.alias, settings)
    };
    builder_like(registry).build(table.values().fold(Databases::new(), each))
}

/// A builder with the engines of a registry.
pub(super) fn builder_like(registry: &Registry) -> RegistryBuilder {
    let shared = registry.shared();
    RegistryBuilder { engines: shared.engines.clone(), task_policy: shared.task_policy }
}
