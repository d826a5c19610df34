//! What only PostgreSQL has: its protocol, and what a session of it holds.

mod answered;
mod left_early;
mod many_rows;
mod meaning;
mod messages;
mod past_the_driver;
mod pooler;
mod state;
mod under_way;

use crate::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    [
        answered::cases(),
        left_early::cases(),
        many_rows::cases(),
        meaning::cases(),
        messages::cases(),
        past_the_driver::cases(),
        pooler::cases(),
        state::cases(),
        under_way::cases(),
    ]
    .concat()
}
