//! Any text, in any dialect: tokens are the whole text, and an outline never says of a text both that it only reads and that
//! it writes.

#![no_main]

use dockline_core::statement::{Dialect, Outline, Tokens};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (bits, sql) = input;
    let dialects = [Dialect::SQLITE, Dialect::POSTGRES, Dialect::MYSQL, Dialect::MARIADB];
    let mut dialect = dialects[usize::from(bits & 3)]
        .with_backslash_escapes(bits & 4 != 0)
        .with_ansi_quotes(bits & 8 != 0);
    if bits & 16 != 0 {
        dialect = dialect.with_version(if bits & 32 != 0 { 101_106 } else { 80_036 });
    }
    let mut end = 0;
    for token in Tokens::new(sql, dialect) {
        assert_eq!(token.start, end);
        end = token.end();
    }
    assert_eq!(end, sql.len());
    let outline = Outline::of(sql, dialect);
    assert!(!(outline.reads_only() && outline.writes()));
    assert!(outline.is_known() || outline.writes());
});
