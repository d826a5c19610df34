//! How a bare UUID is written, for neither server has a type for it in the protocol.

use dockline_core::{Error, Result, Settings, Value};
use mysql::Column;

#[cfg(feature = "uuid")]
use crate::told::is_of_bytes;

/// The setting `options.uuid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uuids {
    /// As sixteen bytes if the server says that the parameter is one of bytes, or else as text. MySQL says it from 8.0.22 on, of statements
    /// that are prepared.
    AsTold,
    Text,
    Binary,
}

impl Uuids {
    pub(crate) fn read(settings: &Settings) -> Result<Self> {
        match settings.get_option("uuid") {
            None => Ok(Self::AsTold),
            Some("text") => Ok(Self::Text),
            Some("binary") => Ok(Self::Binary),
            Some(other) => Err(Error::config(format!(
                "setting options.uuid: {other:?} is neither text (for CHAR(36) and MariaDB's UUID) nor binary (for BINARY(16))"
            ))),
        }
    }

    /// The bytes of a UUID that goes as bytes into this parameter; nothing may be known of it.
    #[cfg_attr(not(feature = "uuid"), expect(unused_variables, reason = "without the feature there are no UUIDs"))]
    pub(crate) fn bytes(self, value: &Value, parameter: Option<&Column>) -> Option<[u8; 16]> {
        #[cfg(feature = "uuid")]
        if let Value::Uuid(uuid) = value {
            let as_bytes = match self {
                Self::AsTold => parameter.is_some_and(is_of_bytes),
                Self::Text => false,
                Self::Binary => true,
            };
            return as_bytes.then(|| *uuid.as_bytes());
        }
        None
    }
}

/// Says what to write if a UUID went the wrong way.
pub(crate) fn explain(error: Error, params: &[Value], uuids: Uuids) -> Error {
    if !params.iter().any(|value| value.type_name() == "uuid") {
        return error;
    }
    match error.code().as_deref() {
        // The text has 36 characters.
        Some("1406") if uuids != Uuids::Binary => error.with_hint(
            "if the column is BINARY(16), a Uuid went as its text: set options.uuid = binary, or give dockline::Binary(id)",
        ),
        // MariaDB reads no bytes into its own type.
        Some("1292") if uuids == Uuids::Binary && error.message().contains("uuid") => {
            error.with_hint("a Uuid went as its bytes; for a column of MariaDB's UUID set options.uuid = text")
        }
        _ => error,
    }
}

#[cfg(all(test, feature = "uuid"))]
mod tests {
    use dockline_core::FromValue;

    use mysql::consts::ColumnType;

    use super::*;
    use crate::told::tests::parameter;

    #[test]
    fn a_uuid_is_bytes_if_the_server_says_so_or_the_settings_do() {
        let id = Value::Uuid(FromValue::from_value(Value::Bytes(vec![7; 16])).unwrap());
        let bytes = Some([7; 16]);
        let of_bytes = parameter(ColumnType::MYSQL_TYPE_VAR_STRING, 63, 65_535);
        let of_text = parameter(ColumnType::MYSQL_TYPE_VAR_STRING, 255, 65_532);
        let unknown = parameter(ColumnType::MYSQL_TYPE_VAR_STRING, 63, 0);
        let number = parameter(ColumnType::MYSQL_TYPE_LONGLONG, 63, 21);
        assert_eq!(Uuids::AsTold.bytes(&id, Some(&of_bytes)), bytes);
        for other in [&of_text, &unknown, &number] {
            assert_eq!(Uuids::AsTold.bytes(&id, Some(other)), None, "{other:?}");
        }
        assert_eq!(Uuids::AsTold.bytes(&id, None), None);
        assert_eq!(Uuids::Binary.bytes(&id, None), bytes);
        assert_eq!(Uuids::Text.bytes(&id, Some(&of_bytes)), None);
        assert_eq!(Uuids::Binary.bytes(&Value::Text("x".into()), None), None);
    }
}
