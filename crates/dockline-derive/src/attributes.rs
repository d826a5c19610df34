//! What stands in `#[dockline(…)]`.

use syn::{Attribute, Error, LitStr, Result};

use crate::case::Case;

#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) rename: Option<String>,
    pub(crate) rename_all: Option<Case>,
    pub(crate) prefix: Option<String>,
    pub(crate) default: bool,
    pub(crate) flatten: bool,
    pub(crate) skip: bool,
    pub(crate) integer: bool,
}

/// Those of a field of a struct: one struct may derive several of the macros, and each reads its own of them.
pub(crate) const OF_FIELD: &[&str] = &["rename", "default", "flatten", "prefix", "skip"];

impl Attributes {
    /// Reads those of an item; others than the `known` are an error.
    pub(crate) fn read(attributes: &[Attribute], known: &[&str]) -> Result<Self> {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("dockline")) {
            attribute.parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                if !known.contains(&name.as_str()) {
                    let message = format!("`{name}` is no attribute here; there are: {}", known.join(", "));
                    return Err(Error::new_spanned(&meta.path, message));
                }
                let text = || -> Result<LitStr> { meta.value()?.parse() };
                match name.as_str() {
                    "rename" => read.rename = Some(text()?.value()),
                    "prefix" => read.prefix = Some(text()?.value()),
                    "rename_all" => {
                        let text = text()?;
                        let case = Case::of(&text.value());
                        read.rename_all = Some(case.ok_or_else(|| Error::new(text.span(), Case::EXPLAINED))?);
                    }
                    "default" => read.default = true,
                    "flatten" => read.flatten = true,
                    "skip" => read.skip = true,
                    _ => read.integer = true,
                }
                Ok(())
            })?;
        }
        Ok(read)
    }
}
