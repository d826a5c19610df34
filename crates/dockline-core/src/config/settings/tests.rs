use secrecy::ExposeSecret;

use super::*;

#[test]
fn every_name_can_be_set_from_text_or_says_what_would_be_right() {
    for name in Settings::NAMES {
        let mut settings = Settings::new();
        // No setting but those that are free text takes this; each refusal names the setting.
        match settings.set(name, "\u{1F980}") {
            Ok(()) => assert!(format!("{:?}", settings.text).contains(name), "{name} is no text"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ImproperlyConfigured);
                assert!(error.message().starts_with(&format!("setting {name} = ")), "{error}");
                assert!(error.message().contains("write "), "{error} does not say what would be right");
            }
        }
    }
}

#[test]
fn an_unknown_name_suggests_the_nearest() {
    let error = Settings::new().set("conn_maxage", "1s").unwrap_err();
    assert_eq!(error.to_string(), r#"unknown setting "conn_maxage"; did you mean "conn_max_age"?"#);
    let error = Settings::new().set("zzzzzzzzz", "1s").unwrap_err();
    assert!(error.message().contains("known: engine, name, user"), "{error}");
}

#[test]
fn debug_hides_every_secret() {
    let settings = Settings::new()
        .password("hunter2")
        .option("sslpassword", "hunter3")
        .init_sql("PRAGMA key = 'hunter5'")
        .password_provider(|| Ok(SecretString::from("hunter4")));
    let text = format!("{settings:?}");
    assert!(!text.contains("hunter"), "{text}");
    assert!(text.contains("***") && text.contains("sslpassword"), "{text}");
}

#[test]
fn the_provider_goes_before_the_file_and_the_file_before_the_setting() {
    let file = std::env::temp_dir().join(format!("dockline-password-{}", std::process::id()));
    std::fs::write(&file, "from file\n").unwrap();
    let resolve = |settings: &Settings| settings.resolve_password().unwrap().unwrap().expose_secret().to_owned();

    let settings = Settings::new().password("from setting");
    assert_eq!(resolve(&settings), "from setting");
    let settings = settings.password_file(file.to_str().unwrap());
    assert_eq!(resolve(&settings), "from file");
    let settings = settings.password_provider(|| Ok(SecretString::from("from provider")));
    assert_eq!(resolve(&settings), "from provider");
    std::fs::remove_file(file).unwrap();

    let settings = Settings::new().password_file("/nonexistent/password");
    let error = settings.resolve_password().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Operational);
    assert!(error.message().contains("/nonexistent/password"), "{error}");
    let settings = Settings::new().password_provider(|| Err("no token".into()));
    assert_eq!(settings.resolve_password().unwrap_err().kind(), ErrorKind::Operational);
}

#[test]
fn impossible_values_are_refused() {
    assert!(Settings::new().check().is_ok());
    for settings in [
        Settings::new().port(Some(0)),
        Settings::new().max_age_jitter(101),
        Settings::new().connect_timeout(Duration::ZERO),
        Settings::new().statement_timeout(Some(Duration::ZERO)),
    ] {
        assert_eq!(settings.check().unwrap_err().kind(), ErrorKind::ImproperlyConfigured);
    }
}
