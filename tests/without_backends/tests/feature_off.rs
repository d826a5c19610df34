//! What a program gets that was built without the backend of its URL.

#![cfg(not(feature = "with-backends"))]

use dockline::{Connections, Databases, ErrorKind, Settings};

#[test]
fn a_scheme_whose_feature_is_off_names_the_feature() {
    for (url, scheme, feature) in [
        ("sqlite::memory:", "sqlite", "sqlite"),
        ("mysql://me:hunter2@localhost/app", "mysql", "mysql"),
        ("mariadb://localhost/app", "mariadb", "mysql"),
        ("postgres://localhost/app", "postgres", "postgres"),
    ] {
        let databases = Databases::new().with("default", Settings::from_url(url).unwrap());
        let error = Connections::new(databases).unwrap_err();
        assert_eq!((error.kind(), error.alias()), (ErrorKind::ImproperlyConfigured, Some("default")));
        assert_eq!(
            error.message(),
            format!(
                "scheme {scheme:?}: it needs the feature {feature:?} of the crate dockline, which is off in this program"
            )
        );
    }
}

#[test]
fn without_any_backend_nothing_is_known() {
    let databases = Databases::new().with("default", Settings::from_url("oracle://host/db").unwrap());
    let error = Connections::new(databases).unwrap_err();
    assert!(error.message().contains("unknown scheme \"oracle\""), "{error}");
}
