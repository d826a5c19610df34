//! The server's own functions that write nothing, lock nothing, and change nothing of the session. What is not here is not known,
//! although it may be as harmless. Each list is in alphabetical order.

use crate::config::statement::dialect::{Dialect, Family};

/// Whether a word is one of the server's functions that only read.
pub(super) fn is_harmless(name: &str, dialect: Dialect) -> bool {
    let lists: &[&[&str]] = match dialect.family {
        Family::Sqlite => &[&COMMON, &SQLITE],
        Family::Postgres => &[&COMMON, &POSTGRES],
        Family::Mysql => &[&COMMON, &MYSQL],
        Family::Mariadb => &[&COMMON, &MYSQL, &MARIADB],
    };
    lists.iter().any(|list| contains(list, name))
}

/// Whether a parenthesis behind this word is none of a call: an operator, a clause, or a type.
pub(super) fn is_keyword(word: &str, dialect: Dialect) -> bool {
    contains(&KEYWORDS, word) || (dialect.is_mysql_or_mariadb() && contains(&MYSQL_KEYWORDS, word))
}

fn contains(list: &[&str], word: &str) -> bool {
    let lower = || word.bytes().map(|byte| byte.to_ascii_lowercase());
    list.binary_search_by(|entry| entry.bytes().cmp(lower())).is_ok()
}

/// Operators, clauses and types that stand before a parenthesis.
#[rustfmt::skip]
const KEYWORDS: [&str; 79] = [
    "all", "and", "any", "array", "as", "asc", "between", "bit", "by", "case", "cast", "char", "character", "check",
    "collate", "cross", "cube", "dec", "decimal", "desc", "distinct", "else", "end", "escape", "except", "exists",
    "fetch", "float", "from", "group", "grouping", "having", "ilike", "in", "inner", "intersect", "interval", "into",
    "is", "join", "lateral", "left", "like", "limit", "minus", "natural", "nchar", "not", "null", "numeric", "offset",
    "on", "only", "or", "order", "outer", "overlaps", "real", "returning", "right", "rollup", "row", "select",
    "similar", "some", "table", "then", "to", "union", "unique", "update", "use", "using", "values", "varchar",
    "when", "where", "window", "with",
];

/// Those that other servers may have as names of functions.
#[rustfmt::skip]
const MYSQL_KEYWORDS: [&str; 22] = [
    "against", "binary", "columns", "div", "double", "force", "ignore", "index", "key", "match", "mod", "partition",
    "regexp", "rlike", "separator", "set", "signed", "sounds", "straight_join", "unsigned", "varbinary", "xor",
];

/// What all have.
#[rustfmt::skip]
const COMMON: [&str; 57] = [
    "abs", "acos", "asin", "atan", "avg", "ceil", "ceiling", "coalesce", "concat", "concat_ws", "cos", "count",
    "cume_dist", "degrees", "dense_rank", "exp", "first_value", "floor", "format", "hex", "ifnull", "instr", "lag",
    "last_value", "lead", "length", "ln", "log", "log10", "log2", "lower", "ltrim", "max", "min", "mod", "nth_value",
    "ntile", "nullif", "percent_rank", "pi", "pow", "power", "radians", "rank", "replace", "round", "row_number",
    "rtrim", "sign", "sin", "sqrt", "substr", "substring", "sum", "tan", "trim", "upper",
];

/// What PostgreSQL has.
#[rustfmt::skip]
const POSTGRES: [&str; 325] = [
    "abbrev", "acosd", "acosh", "age", "any_value", "area", "array_agg", "array_append", "array_cat", "array_dims",
    "array_fill", "array_length", "array_lower", "array_ndims", "array_position", "array_positions", "array_prepend",
    "array_remove", "array_replace", "array_to_json", "array_to_string", "array_upper", "ascii", "asind", "asinh",
    "atan2", "atand", "atanh", "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor", "bool", "bool_and",
    "bool_or", "box", "broadcast", "btrim", "cardinality", "cbrt", "center", "char_length", "character_length", "chr",
    "circle", "clock_timestamp", "col_description", "convert_from", "convert_to", "corr", "cosd", "cosh", "cot",
    "covar_pop", "covar_samp", "current_catalog", "current_database", "current_date", "current_role",
    "current_schema", "current_schemas", "current_setting", "current_timestamp", "current_user", "currval", "date",
    "date_bin", "date_part", "date_trunc", "daterange", "decode", "diameter", "div", "encode", "enum_first",
    "enum_last", "enum_range", "erf", "every", "exists", "extract", "factorial", "family", "float4", "float8",
    "format_type", "gcd", "gen_random_uuid", "generate_series", "generate_subscripts", "get_bit", "get_byte",
    "greatest", "grouping", "has_column_privilege", "has_database_privilege", "has_schema_privilege",
    "has_table_privilege", "height", "host", "inet_client_addr", "initcap", "int2", "int4", "int4range", "int8",
    "int8range", "isempty", "isfinite", "json_agg", "json_array_elements", "json_array_elements_text",
    "json_array_length", "json_build_array", "json_build_object", "json_each", "json_each_text", "json_extract_path",
    "json_extract_path_text", "json_object", "json_object_agg", "json_object_keys", "json_populate_record",
    "json_populate_recordset", "json_strip_nulls", "json_to_record", "json_to_recordset", "json_typeof", "jsonb_agg",
    "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array",
    "jsonb_build_object", "jsonb_each", "jsonb_each_text", "jsonb_extract_path", "jsonb_extract_path_text",
    "jsonb_insert", "jsonb_object", "jsonb_object_agg", "jsonb_object_keys", "jsonb_path_exists", "jsonb_path_match",
    "jsonb_path_query", "jsonb_path_query_array", "jsonb_path_query_first", "jsonb_populate_record",
    "jsonb_populate_recordset", "jsonb_pretty", "jsonb_set", "jsonb_strip_nulls", "jsonb_to_record",
    "jsonb_to_recordset", "jsonb_typeof", "justify_days", "justify_hours", "justify_interval", "lastval", "lcm",
    "least", "left", "line", "localtime", "localtimestamp", "lower_inc", "lower_inf", "lpad", "lseg", "make_date",
    "make_interval", "make_time", "make_timestamp", "make_timestamptz", "masklen", "md5", "min_scale", "mode",
    "multirange", "netmask", "network", "now", "num_nonnulls", "num_nulls", "numnode", "numrange", "obj_description",
    "octet_length", "overlay", "parse_ident", "path", "percentile_cont", "percentile_disc", "pg_backend_pid",
    "pg_blocking_pids", "pg_client_encoding", "pg_collation_for", "pg_column_size", "pg_current_snapshot",
    "pg_current_xact_id_if_assigned", "pg_database_size", "pg_encoding_to_char", "pg_get_constraintdef",
    "pg_get_expr", "pg_get_functiondef", "pg_get_indexdef", "pg_get_serial_sequence", "pg_get_userbyid",
    "pg_get_viewdef", "pg_is_in_recovery", "pg_my_temp_schema", "pg_postmaster_start_time", "pg_relation_size",
    "pg_size_pretty", "pg_sleep", "pg_sleep_for", "pg_sleep_until", "pg_snapshot_xmin", "pg_stat_get_activity",
    "pg_table_is_visible", "pg_table_size", "pg_tablespace_size", "pg_total_relation_size", "pg_trigger_depth",
    "pg_type_is_visible", "pg_typeof", "phraseto_tsquery", "plainto_tsquery", "point", "polygon", "position",
    "quote_ident", "quote_literal", "quote_nullable", "radius", "random", "range_agg", "range_merge", "regexp_count",
    "regexp_instr", "regexp_like", "regexp_match", "regexp_matches", "regexp_replace", "regexp_split_to_array",
    "regexp_split_to_table", "regexp_substr", "regr_count", "repeat", "reverse", "right", "row_to_json", "rpad",
    "scale", "session_user", "set_bit", "set_byte", "setweight", "sha224", "sha256", "sha384", "sha512",
    "shobj_description", "sind", "sinh", "split_part", "starts_with", "statement_timestamp", "stddev", "stddev_pop",
    "stddev_samp", "string_agg", "string_to_array", "string_to_table", "strip", "strpos", "tand", "tanh", "text",
    "timeofday", "timestamptz", "to_ascii", "to_char", "to_date", "to_hex", "to_json", "to_jsonb", "to_number",
    "to_regclass", "to_regtype", "to_timestamp", "to_tsquery", "to_tsvector", "transaction_timestamp", "translate",
    "trim_array", "trim_scale", "trunc", "ts_headline", "ts_rank", "ts_rank_cd", "tsrange", "tstzrange",
    "tsvector_to_array", "txid_current_if_assigned", "txid_current_snapshot", "unnest", "upper_inc", "upper_inf",
    "user", "var_pop", "var_samp", "variance", "version", "websearch_to_tsquery", "width", "width_bucket", "xmlagg",
    "xmlconcat", "xmlelement", "xmlexists", "xmlforest", "xmlparse", "xmlserialize",
];

/// What MySQL and MariaDB have.
#[rustfmt::skip]
const MYSQL: [&str; 247] = [
    "adddate", "addtime", "aes_decrypt", "aes_encrypt", "any_value", "ascii", "atan2", "benchmark", "bin",
    "bin_to_uuid", "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor", "cast", "char", "char_length",
    "character_length", "charset", "coercibility", "collation", "compress", "connection_id", "conv", "convert",
    "convert_tz", "cot", "crc32", "curdate", "current_date", "current_role", "current_time", "current_timestamp",
    "current_user", "curtime", "database", "date", "date_add", "date_format", "date_sub", "datediff", "day",
    "dayname", "dayofmonth", "dayofweek", "dayofyear", "default", "degrees", "elt", "export_set", "extract",
    "extractvalue", "field", "find_in_set", "found_rows", "from_base64", "from_days", "from_unixtime",
    "geometrycollection", "get_format", "greatest", "group_concat", "grouping", "hour", "icu_version", "if",
    "inet6_aton", "inet6_ntoa", "inet_aton", "inet_ntoa", "insert", "interval", "is_free_lock", "is_ipv4",
    "is_ipv4_compat", "is_ipv4_mapped", "is_ipv6", "is_used_lock", "is_uuid", "isnull", "json_array",
    "json_array_append", "json_array_insert", "json_arrayagg", "json_contains", "json_contains_path", "json_depth",
    "json_extract", "json_insert", "json_keys", "json_length", "json_merge", "json_merge_patch",
    "json_merge_preserve", "json_object", "json_objectagg", "json_overlaps", "json_pretty", "json_quote",
    "json_remove", "json_replace", "json_schema_valid", "json_search", "json_set", "json_storage_size", "json_table",
    "json_type", "json_unquote", "json_valid", "json_value", "last_day", "last_insert_id", "lcase", "least", "left",
    "linestring", "load_file", "localtime", "localtimestamp", "locate", "log", "lpad", "make_set", "makedate",
    "maketime", "match", "md5", "microsecond", "mid", "minute", "month", "monthname", "multipoint", "name_const",
    "now", "oct", "octet_length", "ord", "password", "period_add", "period_diff", "point", "polygon", "position",
    "quarter", "quote", "rand", "random_bytes", "regexp_instr", "regexp_like", "regexp_replace", "regexp_substr",
    "repeat", "reverse", "right", "row_count", "rpad", "schema", "sec_to_time", "second", "session_user", "sha",
    "sha1", "sha2", "sleep", "soundex", "space", "st_area", "st_asbinary", "st_asgeojson", "st_astext", "st_buffer",
    "st_centroid", "st_contains", "st_crosses", "st_difference", "st_disjoint", "st_distance", "st_distance_sphere",
    "st_envelope", "st_equals", "st_geohash", "st_geomfromgeojson", "st_geomfromtext", "st_geomfromwkb",
    "st_intersection", "st_intersects", "st_isvalid", "st_latitude", "st_length", "st_longitude", "st_overlaps",
    "st_pointfromtext", "st_srid", "st_touches", "st_union", "st_within", "st_x", "st_y", "std", "stddev",
    "stddev_pop", "stddev_samp", "str_to_date", "strcmp", "subdate", "substring_index", "subtime", "sysdate",
    "system_user", "time", "time_format", "time_to_sec", "timediff", "timestamp", "timestampadd", "timestampdiff",
    "to_base64", "to_days", "to_seconds", "truncate", "ucase", "uncompress", "uncompressed_length", "unhex",
    "unix_timestamp", "updatexml", "user", "utc_date", "utc_time", "utc_timestamp", "uuid", "uuid_short",
    "uuid_to_bin", "validate_password_strength", "values", "var_pop", "var_samp", "variance", "version", "week",
    "weekday", "weekofyear", "weight_string", "year", "yearweek",
];

/// What only MariaDB has.
#[rustfmt::skip]
const MARIADB: [&str; 35] = [
    "add_months", "binlog_gtid_pos", "chr", "decode_histogram", "from_days", "json_compact", "json_detailed",
    "json_equals", "json_exists", "json_loose", "json_normalize", "json_query", "kdf", "lastval", "length", "lengthb",
    "median", "natural_sort_key", "nvl", "nvl2", "ora_lastval", "percentile_cont", "percentile_disc",
    "previous_value", "sformat", "to_char", "to_date", "trim_oracle", "uuid_v4", "uuid_v7", "vec_distance",
    "vec_distance_cosine", "vec_distance_euclidean", "vec_fromtext", "vec_totext",
];

/// What SQLite has.
#[rustfmt::skip]
const SQLITE: [&str; 103] = [
    "acosh", "asinh", "atan2", "atanh", "bm25", "changes", "char", "concat", "cosh", "current_date", "current_time",
    "current_timestamp", "date", "datetime", "generate_series", "glob", "group_concat", "highlight", "if", "iif",
    "json", "json_array", "json_array_length", "json_each", "json_error_position", "json_extract", "json_group_array",
    "json_group_object", "json_insert", "json_object", "json_patch", "json_pretty", "json_quote", "json_remove",
    "json_replace", "json_set", "json_tree", "json_type", "json_valid", "jsonb", "jsonb_array", "jsonb_each",
    "jsonb_extract", "jsonb_group_array", "jsonb_group_object", "jsonb_insert", "jsonb_object", "jsonb_patch",
    "jsonb_remove", "jsonb_replace", "jsonb_set", "jsonb_tree", "julianday", "last_insert_rowid", "like",
    "likelihood", "likely", "max", "median", "min", "octet_length", "percentile", "percentile_cont",
    "percentile_disc", "pragma_collation_list", "pragma_compile_options", "pragma_database_list",
    "pragma_foreign_key_list", "pragma_function_list", "pragma_index_info", "pragma_index_list", "pragma_index_xinfo",
    "pragma_table_info", "pragma_table_list", "pragma_table_xinfo", "printf", "quote", "random", "randomblob", "sinh",
    "snippet", "soundex", "sqlite_compileoption_get", "sqlite_compileoption_used", "sqlite_offset",
    "sqlite_source_id", "sqlite_version", "strftime", "string_agg", "tanh", "time", "timediff", "total",
    "total_changes", "trunc", "typeof", "unhex", "unicode", "unistr", "unistr_quote", "unixepoch", "unlikely",
    "zeroblob",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_in_order() {
        let lists: [&[&str]; 7] = [&KEYWORDS, &MYSQL_KEYWORDS, &COMMON, &POSTGRES, &MYSQL, &MARIADB, &SQLITE];
        assert!(lists.iter().all(|list| list.is_sorted()));
    }

    #[test]
    fn a_function_with_an_effect_is_in_no_list() {
        for name in [
            "nextval",
            "setval",
            "set_config",
            "pg_advisory_lock",
            "pg_notify",
            "pg_terminate_backend",
            "setseed",
            "lo_create",
            "dblink",
            "query_to_xml",
            "txid_current",
            "get_lock",
            "release_lock",
            "load_extension",
            "writefile",
            "pg_logical_emit_message",
            "pg_reload_conf",
            "sys_exec",
            "master_pos_wait",
        ] {
            for dialect in [Dialect::SQLITE, Dialect::POSTGRES, Dialect::MYSQL, Dialect::MARIADB] {
                assert!(!is_harmless(name, dialect) && !is_keyword(name, dialect), "{name}");
            }
        }
    }
}
