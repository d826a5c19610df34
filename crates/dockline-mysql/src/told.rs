//! What the server says of the parameters of a statement that it has prepared.

use mysql::consts::ColumnType;
use mysql::{Column, Statement};

const BINARY: u16 = 63;

/// From this version on, MySQL finds out the types of parameters when it prepares a statement. MariaDB does not.
const TELLS_TYPES: (u16, u16, u16) = (8, 0, 22);

/// What is told of each parameter; nothing by a server that knows nothing.
pub(crate) fn told(statement: &Statement, mariadb: bool, version: (u16, u16, u16)) -> &[Column] {
    if mariadb || version < TELLS_TYPES { &[] } else { statement.params() }
}

/// Whether a parameter is a string of bytes.
#[cfg(feature = "uuid")]
pub(crate) fn is_of_bytes(parameter: &Column) -> bool {
    is_string(parameter) && parameter.character_set() == BINARY
}

/// Whether a parameter is a text.
pub(crate) fn is_of_text(parameter: &Column) -> bool {
    is_string(parameter) && parameter.character_set() != BINARY
}

fn is_string(parameter: &Column) -> bool {
    use ColumnType as T;
    let is_string = matches!(
        parameter.column_type(),
        T::MYSQL_TYPE_VAR_STRING
            | T::MYSQL_TYPE_STRING
            | T::MYSQL_TYPE_VARCHAR
            | T::MYSQL_TYPE_TINY_BLOB
            | T::MYSQL_TYPE_BLOB
            | T::MYSQL_TYPE_MEDIUM_BLOB
            | T::MYSQL_TYPE_LONG_BLOB
    );
    // One that the server knows nothing of has no length.
    is_string && parameter.column_length() > 0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn parameter(kind: ColumnType, charset: u16, length: u32) -> Column {
        Column::new(kind).with_character_set(charset).with_column_length(length)
    }

    #[test]
    fn texts_are_told_from_bytes_and_from_what_is_not_known() {
        let text = parameter(ColumnType::MYSQL_TYPE_VAR_STRING, 255, 65_532);
        let bytes = parameter(ColumnType::MYSQL_TYPE_LONG_BLOB, BINARY, u32::MAX);
        let unknown = parameter(ColumnType::MYSQL_TYPE_VAR_STRING, BINARY, 0);
        let number = parameter(ColumnType::MYSQL_TYPE_LONGLONG, BINARY, 21);
        let json = parameter(ColumnType::MYSQL_TYPE_JSON, 255, u32::MAX - 3);
        assert_eq!([&text, &bytes, &unknown, &number, &json].map(is_of_text), [true, false, false, false, false]);
        #[cfg(feature = "uuid")]
        assert_eq!([&text, &bytes, &unknown, &number, &json].map(is_of_bytes), [false, true, false, false, false]);
    }
}
