//! What has run on a connection, as far as later statements ask for it.

use dockline_core::statement::Outline;

/// `LAST_INSERT_ID()` lives as long as the connection, `ROW_COUNT()` until the next statement. A connection that was opened in
/// place of another has neither, and answers 0 all the same.
#[derive(Debug, Default)]
pub(super) struct Ran {
    any: bool,
    /// Something that may have given a value to LAST_INSERT_ID().
    wrote: bool,
}

impl Ran {
    /// Everything may have run.
    pub(super) fn note_all(&mut self) {
        (self.any, self.wrote) = (true, true);
    }

    pub(super) fn note(&mut self, outline: &Outline) {
        self.any = true;
        self.wrote |= outline.writes() || outline.runs_code() || !outline.state().is_empty();
    }

    /// Whether a statement asks for something that is not there.
    pub(super) fn lacks(&self, outline: &Outline) -> bool {
        let has = if outline.uses_last_insert_id() { self.wrote } else { self.any };
        // What a routine asks for, nobody knows.
        outline.is_known() && outline.uses_last_statement() && !outline.may_stop_half_way() && !has
    }
}

#[cfg(test)]
mod tests {
    use dockline_core::statement::Dialect;

    use super::*;

    fn of(sql: &str) -> Outline {
        Outline::of(sql, Dialect::MYSQL.with_version(90_704))
    }

    #[test]
    fn an_answer_is_asked_for_where_there_was_a_statement() {
        let ask = ["SELECT LAST_INSERT_ID()", "INSERT INTO child VALUES (last_insert_id(), 1)", "SELECT @@identity"];
        let more = [
            "INSERT INTO child VALUES (@@identity, 1)",
            "/* app */ insert into child select last_insert_id(), 1",
            "UPDATE parent SET n = 2 WHERE id = LAST_INSERT_ID()",
            "SELECT ROW_COUNT()",
            "SELECT FOUND_ROWS()",
            "SELECT @@warning_count",
            "SHOW WARNINGS",
        ];
        for sql in ask.into_iter().chain(more) {
            assert!(Ran::default().lacks(&of(sql)), "{sql}");
        }
        for sql in
            ["SELECT 1", "INSERT INTO t VALUES (1)", "UPDATE seq SET n = LAST_INSERT_ID(n + 1)", "CALL p()", "WHATEVER"]
        {
            assert!(!Ran::default().lacks(&of(sql)), "{sql}");
        }
        let mut ran = Ran::default();
        ran.note(&of("SELECT 1"));
        assert!(ask.iter().all(|sql| ran.lacks(&of(sql))), "a query gives no id");
        assert!(!ran.lacks(&of("SELECT FOUND_ROWS()")));
        ran.note(&of("INSERT INTO parent VALUES (1)"));
        assert!(!ask.iter().any(|sql| ran.lacks(&of(sql))));
    }
}
