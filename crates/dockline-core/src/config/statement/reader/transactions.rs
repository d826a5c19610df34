//! Statements about transactions.

use super::cursor::Cursor;
use crate::config::statement::outline::{Facts, Outline};
use crate::config::statement::transaction::{TransactionChange, XaStep};
use crate::config::statement::verb::Verb;

/// Reads what stands behind this word, if it is about a transaction.
pub(super) fn read(word: &str, mut cursor: Cursor<'_>) -> Option<Outline> {
    let dialect = cursor.dialect;
    let mysql = dialect.is_mysql_or_mariadb();
    let change = match word {
        "begin" => Some(TransactionChange::Begin),
        "start" if cursor.is("transaction") => Some(TransactionChange::Begin),
        "commit" | "end" | "rollback" | "abort" => end(word, &mut cursor),
        "savepoint" => cursor.name().map(TransactionChange::Savepoint),
        "release" => {
            cursor.eat("savepoint");
            cursor.name().map(TransactionChange::Release)
        }
        "prepare" if dialect.is_postgres() && cursor.is("transaction") => Some(TransactionChange::Prepare),
        "xa" if mysql => return Some(xa(&cursor)),
        _ => return None,
    };
    // COMMIT PREPARED is about another session's transaction.
    let other = change == Some(TransactionChange::Unknown);
    let begins = mysql && change == Some(TransactionChange::Begin);
    let facts = Facts { commits: begins, writes: other, stands_alone: other, ..Facts::NOTHING };
    Some(match change {
        None => Outline::unknown(),
        Some(change) => Outline { transaction: (!other).then_some(change), ..Outline::new(Verb::Transaction, facts) },
    })
}

/// Behind COMMIT, END, ROLLBACK or ABORT. `Unknown` for what is about another session's.
fn end(word: &str, cursor: &mut Cursor<'_>) -> Option<TransactionChange> {
    let dialect = cursor.dialect;
    let is_known = match word {
        "end" => !dialect.is_mysql_or_mariadb(),
        "abort" => dialect.is_postgres(),
        _ => true,
    };
    if !is_known {
        return None;
    }
    if dialect.is_postgres() && cursor.is("prepared") {
        return Some(TransactionChange::Unknown);
    }
    cursor.eat_one_of(&["work", "transaction"]);
    if word == "rollback" && cursor.eat("to") {
        cursor.eat("savepoint");
        return cursor.name().map(TransactionChange::RollbackTo);
    }
    let mut chain = false;
    if cursor.eat("and") {
        chain = !cursor.eat("no");
        if !cursor.eat("chain") {
            return None;
        }
    }
    let release = !cursor.eat("no") && cursor.eat("release");
    Some(match word {
        "commit" | "end" => TransactionChange::Commit { chain, release },
        _ => TransactionChange::Rollback { chain, release },
    })
}

fn xa(cursor: &Cursor<'_>) -> Outline {
    let step = match cursor.peek() {
        Some(word) if word.is_one_of(&["start", "begin"]) => XaStep::Begin,
        Some(word) if word.is_word("end") => XaStep::End,
        Some(word) if word.is_word("prepare") => XaStep::Prepare,
        Some(word) if word.is_word("commit") => XaStep::Commit,
        Some(word) if word.is_word("rollback") => XaStep::Rollback,
        Some(word) if word.is_word("recover") => {
            return Outline::new(Verb::Transaction, Facts { reads_only: true, gives_rows: true, ..Facts::NOTHING });
        }
        _ => return Outline::unknown(),
    };
    Outline { transaction: Some(TransactionChange::Xa(step)), ..Outline::new(Verb::Transaction, Facts::NOTHING) }
}
