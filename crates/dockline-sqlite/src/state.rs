//! What a connection holds that a new one would lack.

use dockline_core::backend::{SessionState, StateKind};
use rusqlite::Connection;

/// The temporary tables and attached databases that there are.
pub(crate) fn state_of(connection: &Connection) -> rusqlite::Result<SessionState> {
    let mut state = SessionState::default();
    // Mostly a look is enough: no temporary table has ever been made, and nothing is attached.
    if connection.is_readonly("temp").is_err() && connection.db_name(2).is_err() {
        return Ok(state);
    }
    const HELD: &str = "SELECT 0, name FROM temp.sqlite_schema \
                        UNION ALL SELECT 1, name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')";
    let mut statement = connection.prepare_cached(HELD)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let kind = if row.get::<_, bool>(0)? { StateKind::AttachedDatabase } else { StateKind::TemporaryTable };
        state.hold(kind, row.get::<_, String>(1)?);
    }
    Ok(state)
}
