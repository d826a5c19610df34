//! The page that has the numbers: a row for each database and path.

use std::path::PathBuf;

use nix::libc;

use super::trace::SystemCall;

/// What a call of a path costs, as its cells on the page.
pub(super) struct Row {
    cells: Vec<String>,
}

/// System calls of one path: ours, and the bare driver's.
pub(super) type Calls = (Vec<SystemCall>, Vec<SystemCall>);

const HEAD: &str = "| database | path | allocations | looks at the socket | sends | turns of an event loop | other system calls |\n|---|---|---:|---:|---:|---:|---:|\n";

impl Row {
    /// Of so many rounds. A driver's buffers grow now and then, so the allocations of one call are those of all, rounded.
    pub(super) fn new(
        database: &str,
        path: &str,
        rounds: u64,
        (ours, bare): (u64, Option<u64>),
        calls: Option<&Calls>,
    ) -> Self {
        let own = ours.saturating_sub(bare.unwrap_or_default());
        let mut cells = vec![database.to_owned(), path.to_owned(), ((own + rounds / 2) / rounds).to_string()];
        if let Some((ours, _)) = calls {
            let count = |wanted: &dyn Fn(&SystemCall) -> bool| ours.iter().filter(|call| wanted(call)).count() as u64;
            let per_call = |count: u64| {
                if count.is_multiple_of(rounds) { (count / rounds).to_string() } else { format!("{count} in {rounds}") }
            };
            // One inside a transaction depends on a pause: a thread that was kept waiting once looks once more.
            cells.push((count(&|call| call.is_look) / rounds).to_string());
            cells
                .push(per_call(count(&|call| is_one_of(call, &[libc::SYS_sendto, libc::SYS_writev, libc::SYS_write]))));
            cells.push(per_call(count(&|call| is_one_of(call, &[libc::SYS_epoll_wait]))));
            cells.push(per_call(count(&|call| !call.is_look && !is_one_of(call, DRIVERS))));
        }
        Self { cells }
    }

    fn text(&self) -> String {
        format!("| {} |\n", self.cells.join(" | "))
    }
}

/// How drivers, and what goes past them, send, receive and wait. How often they receive depends on how the server's answer arrives.
const DRIVERS: &[libc::c_long] = &[
    libc::SYS_sendto,
    libc::SYS_writev,
    libc::SYS_write,
    libc::SYS_recvfrom,
    libc::SYS_read,
    libc::SYS_epoll_wait,
    libc::SYS_poll,
    libc::SYS_ppoll,
];

fn is_one_of(call: &SystemCall, numbers: &[libc::c_long]) -> bool {
    numbers.iter().any(|number| *number as u64 == call.number)
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/costs.md"))
}

/// The rows that the page has.
fn rows_of(page: &str) -> Vec<Vec<String>> {
    let lines = page.lines().skip_while(|line| !HEAD.starts_with(line) || line.is_empty()).skip(2);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// In what the page says something else than these rows. With `WRITE_COSTS` it says the same afterwards.
pub(super) fn compare(rows: &[Row]) -> Vec<String> {
    let page = std::fs::read_to_string(file()).expect("docs/costs.md");
    let there = rows_of(&page);
    if std::env::var_os("WRITE_COSTS").is_some() {
        write(&page, &there, rows);
        return Vec::new();
    }
    let mut differences = Vec::new();
    for row in rows {
        let same_path = |cells: &&Vec<String>| cells[..2] == row.cells[..2];
        match there.iter().find(same_path) {
            // Where system calls cannot be counted, the first cells are all there is.
            Some(cells) if cells.starts_with(&row.cells) => {}
            Some(cells) => {
                differences.push(format!("it is    {}the page {}", row.text(), Row { cells: cells.clone() }.text()))
            }
            None => differences.push(format!("it is    {}the page has no such row", row.text())),
        }
    }
    differences
}

/// Rows of databases that are not there stay as they are.
fn write(page: &str, there: &[Vec<String>], rows: &[Row]) {
    let measured = |database: &str| rows.iter().any(|row| row.cells[0] == database);
    let kept = there.iter().filter(|cells| !measured(&cells[0])).map(|cells| Row { cells: cells.clone() }.text());
    let table: String = HEAD.to_owned() + &rows.iter().map(Row::text).chain(kept).collect::<String>();
    let (before, rest) = page.split_once(HEAD).expect("the head of the table");
    let after: String = rest.split_inclusive('\n').skip_while(|line| line.starts_with('|')).collect();
    std::fs::write(file(), format!("{before}{table}{after}")).expect("docs/costs.md");
}
