//! What a program that comes from another library looks like here.

use dockline::{Connection, Connections, Error, FromRow, Result, Row};

/// Deletes an account and notes it, both or neither.
fn close_account(connections: &Connections, id: i64) -> Result<()> {
    let db = connections.get("default")?;
    db.transaction(|| {
        note(connections, "closed", id)?; // nothing is handed down
        db.execute("DELETE FROM account WHERE id = ?", (id,))?;
        Ok(())
    })
}

/// Notes what was done, in the transaction of the caller, if it has one.
fn note(connections: &Connections, what: &str, id: i64) -> Result<()> {
    let db = connections.get("default")?; // on this thread, the same connection
    db.execute("INSERT INTO note (what, account) VALUES (?, ?)", (what, id))?;
    Ok(())
}

#[derive(FromRow)]
struct Account {
    id: i64,
    owner: String,
    cents: i64,
}

/// Reads all of them.
fn accounts(db: &Connection, owner: &str) -> Result<Vec<Account>> {
    db.query_as("SELECT id, owner, cents FROM account WHERE owner = ? ORDER BY id", (owner,))
}

/// Reads one or none.
fn account(db: &Connection, id: i64) -> Result<Option<Account>> {
    db.query_opt("SELECT id, owner, cents FROM account WHERE id = ?", (id,))?.map(Row::decode).transpose()
}

/// Takes money from an account that has it, and says whether it had. Nobody else changes the row meanwhile.
fn withdraw(db: &Connection, id: i64, cents: i64) -> Result<bool> {
    let lock = if db.vendor() == "sqlite" { "" } else { "FOR UPDATE" };
    db.transaction(|| {
        let there: i64 = db.query_value(&format!("SELECT cents FROM account WHERE id = ? {lock}"), (id,))?;
        if there < cents {
            return Ok(false);
        }
        db.execute("UPDATE account SET cents = ? WHERE id = ?", (there - cents, id))?;
        Ok(true)
    })
}

/// Opens accounts, each in a savepoint, and answers those that could not be opened.
fn open_accounts(db: &Connection, accounts: &[(i64, &str)]) -> Result<Vec<Error>> {
    db.transaction(|| {
        let mut failed = Vec::new();
        for account in accounts {
            let insert = || db.execute("INSERT INTO account (id, owner, cents) VALUES (?, ?, 0)", *account);
            failed.extend(db.transaction(insert).err());
        }
        db.on_commit(|| log::info!("accounts were opened"))?;
        Ok(failed)
    })
}

fn tables(db: &Connection) {
    db.execute_script(
        "CREATE TABLE account (id BIGINT PRIMARY KEY, owner VARCHAR(20) NOT NULL, cents BIGINT NOT NULL);
         CREATE TABLE note (what VARCHAR(20) NOT NULL, account BIGINT NOT NULL);
         INSERT INTO account VALUES (1, 'Ada', 500), (2, 'Ada', 0), (3, 'Bob', 1)",
    )
    .unwrap();
}

pub(super) fn functions_of_a_thread_share_a_transaction(connections: &Connections) {
    let db = connections.get("default").unwrap();
    tables(&db);
    let count = || -> (i64, i64) {
        db.query_one("SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM note)", ())
            .unwrap()
            .decode()
            .unwrap()
    };
    close_account(connections, 3).unwrap();
    assert_eq!(count(), (2, 1));
    db.transaction(|| {
        close_account(connections, 2)?;
        Err::<(), _>(Error::config("undo it"))
    })
    .unwrap_err();
    assert_eq!(count(), (2, 1));
}

pub(super) fn rows_are_read_as_structs(connections: &Connections) {
    let db = connections.get("default").unwrap();
    tables(&db);
    let ids: Vec<_> = accounts(&db, "Ada").unwrap().iter().map(|account| account.id).collect();
    assert_eq!(ids, [1, 2]);
    let bob = account(&db, 3).unwrap().expect("an account");
    assert_eq!((bob.owner.as_str(), bob.cents), ("Bob", 1));
    assert!(account(&db, 9).unwrap().is_none());
}

pub(super) fn a_row_is_locked_and_changed(connections: &Connections) {
    let db = connections.get("default").unwrap();
    tables(&db);
    // Twelve threads want 100 of 500.
    let threads: Vec<_> = (0..12)
        .map(|_| {
            let connections = connections.clone();
            std::thread::spawn(move || withdraw(&connections.get("default").unwrap(), 1, 100).unwrap())
        })
        .collect();
    let had = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|had| *had).count();
    assert_eq!((had, account(&db, 1).unwrap().expect("an account").cents), (5, 0));
}

pub(super) fn a_part_fails_alone(connections: &Connections) {
    let db = connections.get("default").unwrap();
    tables(&db);
    let failed = open_accounts(&db, &[(3, "twice"), (4, "Eve"), (5, "Eve")]).unwrap();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].constraint().is_some());
    assert_eq!(accounts(&db, "Eve").unwrap().len(), 2);
}
