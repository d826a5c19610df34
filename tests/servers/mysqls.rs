//! What MySQL and MariaDB alone can get wrong without a word: texts whose meaning has changed, parameters whose type stuck, state that a
//! new connection lacks.

mod kinds;
mod meaning;
mod several;
mod silent;
mod state;
mod switches;
mod transactions;

use dockline_tests::servers::Kind;

use crate::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        meaning::cases(),
        kinds::cases(),
        several::cases(),
        silent::cases(),
        state::cases(),
        switches::cases(),
        transactions::cases(),
    ];
    all.into_iter().flatten().map(|case| case.only(Kind::MYSQLS)).collect()
}
