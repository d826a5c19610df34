//! What a server lists as the name of a client.

/// The setting `application_name`, or else the program and the alias: `worker:default`.
///
/// It is cut to 63 bytes of ASCII, which is what PostgreSQL keeps.
pub fn application_name(setting: Option<&str>, alias: &str) -> String {
    let name = match setting {
        Some(name) => name.to_owned(),
        None => format!("{}:{alias}", program()),
    };
    name.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(63).collect()
}

fn program() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "dockline".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_goes_before_the_program() {
        assert_eq!(application_name(Some("billing"), "default"), "billing");
        let name = application_name(None, "replica");
        assert!(name.ends_with(":replica") && name.len() > ":replica".len(), "{name}");
        assert_eq!(application_name(Some("bücher\n"), "default"), "b?cher?");
        assert_eq!(application_name(Some(&"x".repeat(100)), "default").len(), 63);
    }
}
