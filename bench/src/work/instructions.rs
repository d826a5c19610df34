//! How many instructions the client executes for a request: a number that does not depend on what else the machine does.

use std::process::Command;

use crate::contestants;
use crate::options::Options;
use crate::place::{Place, Places};
use crate::report::{Report, Table};
use crate::work::reading;

const LOOK_UP: &str = "look-up";
const TRANSACTION: &str = "transaction";
const ROW: &str = "row of many, one by one";
const ROW_KEPT: &str = "row of many, into memory";

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    report.text(
        "Counted by valgrind's callgrind, for one request of one thread, or one row of a large result, as the difference of a run with many \
         and one with few. The client's own instructions alone: what the kernel does for a system call is not among them.",
    );
    let mut table = Table::new(["", "", "bare driver", "Dockline", "÷ bare", "Dockline's own"]);
    let works: &[&str] = if options.smoke { &[LOOK_UP] } else { &[LOOK_UP, TRANSACTION, ROW, ROW_KEPT] };
    // Connecting to PostgreSQL takes long under valgrind, if the program is not optimised. The last but one is another server.
    let last = places.all.len() - 1;
    let all = if options.smoke { &places.all[last.saturating_sub(1)..last.max(1)] } else { &places.all[..] };
    for place in all {
        for work in works {
            let names: Vec<_> = contestants::two(place, 1).iter().map(|contestant| contestant.name()).collect();
            let counted: Result<Vec<f64>, String> = names.iter().map(|name| a_request(place, name, work)).collect();
            match counted {
                Ok(counted) => table.row([
                    place.database.to_string(),
                    (*work).to_owned(),
                    format!("{:.0}", counted[0]),
                    format!("{:.0}", counted[1]),
                    format!("{:.2}", counted[1] / counted[0]),
                    format!("{:.0}", counted[1] - counted[0]),
                ]),
                Err(reason) => report.text(&format!("{}, {work}: not counted: {reason}", place.database)),
            }
        }
    }
    report.table(&table);
}

fn a_request(place: &Place, contestant: &str, work: &str) -> Result<f64, String> {
    let (few, many) = (100, 600);
    let counted = |calls: u32| count(place, contestant, work, calls);
    Ok((counted(many)? - counted(few)?) / f64::from(many - few))
}

fn count(place: &Place, contestant: &str, work: &str, calls: u32) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    valgrind.args(["--repeat", contestant, place.kind(), &place.url, work, &calls.to_string()]);
    let said = valgrind
        .output()
        .map_err(|error| format!("valgrind cannot be started ({error}); on Debian: apt-get install valgrind"))?;
    let text = String::from_utf8_lossy(&said.stderr);
    if !said.status.success() {
        return Err(format!("{contestant} does not run under valgrind: {}", said.status));
    }
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
    collected.ok_or_else(|| format!("valgrind said {:?}", text.lines().last().unwrap_or_default()))
}

/// Makes so many requests, or reads so many rows, for valgrind to count.
pub(crate) fn be_child(contestant: &str, place: &Place, work: &str, calls: u32) {
    if matches!(work, ROW | ROW_KEPT) {
        let is_ours = contestant != contestants::two(place, 1)[0].name();
        let (read, _) =
            reading::reader(is_ours, work == ROW)(place, &format!("SELECT id, name FROM item LIMIT {calls}"));
        assert_eq!(read, calls, "rows");
        return;
    }
    let one = contestants::two(place, 1).into_iter().find(|one| one.name() == contestant).expect("a contestant");
    let mut worker = one.on_thread();
    for n in 0..calls {
        let id = n % crate::place::ROWS;
        let done = if work == TRANSACTION { worker.read_and_write(id) } else { worker.look_ups(&[id]) };
        done.expect("a request");
    }
}
