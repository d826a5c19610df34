//! The kinds of work, one file each.

mod acquire;
mod bulk;
mod compare;
mod django;
pub(crate) mod footprint;
mod growth;
pub(crate) mod instructions;
mod interruptions;
mod link;
mod look_ups;
mod reading;
mod storms;
mod transactions;

use crate::options::Options;
use crate::place::Places;
use crate::report::Report;

/// A kind of work that can be asked for by its name.
pub(crate) struct Item {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) run: fn(&Options, &Places, &mut Report),
}

pub(crate) const ITEMS: &[Item] = &[
    Item { name: "acquire", title: "Taking a connection and giving it back", run: acquire::run },
    Item { name: "look-ups", title: "Requests of one look-up and of ten", run: look_ups::run },
    Item { name: "transactions", title: "Requests of one transaction: a read and a write", run: transactions::run },
    Item { name: "link", title: "Requests over a link with delay", run: link::run },
    Item { name: "bulk", title: "Inserting 100,000 rows", run: bulk::run },
    Item { name: "reading", title: "Reading 1,000,000 rows", run: reading::run },
    Item {
        name: "interruptions",
        title: "After an idle pause, and after a connection was killed",
        run: interruptions::run,
    },
    Item { name: "storms", title: "Many connections at once, and threads that live briefly", run: storms::run },
    Item { name: "footprint", title: "What an idle connection takes", run: footprint::run },
    Item { name: "instructions", title: "Instructions of a request", run: instructions::run },
    Item { name: "growth", title: "How the cost grows", run: growth::run },
    Item { name: "django", title: "Django, on the same machine", run: django::run },
];
