//! What a program does to a session.

use dockline_tests::servers::Kind;

/// Two places of which one is current: databases of MySQL and MariaDB, schemas of PostgreSQL. The first is where sessions begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    A,
    B,
}

impl Place {
    pub(super) const ALL: [Self; 2] = [Self::A, Self::B];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// `USE`, `SET search_path`.
    Use(Place),
    /// `SET LOCAL search_path`.
    UseLocally(Place),
    /// A temporary table that stands before the table of its name.
    Shadow,
    Unshadow,
    Role(bool),
    Lock,
    Unlock,
    Set(u8),
    /// Reads the table that may be shadowed.
    Read,
    /// The same by a text with a parameter.
    ReadSome,
    ReadRole,
    ReadLock,
    ReadSetting,
    CountRows,
    Write,
    /// Several rows, which come back; the result may be left at the first.
    WriteRows {
        leaves: bool,
    },
    /// A large result that is left at its first row.
    Leave,
    /// A statement that fails.
    Fail,
    Kill,
    Begin,
    Commit,
    RollBack,
    Close,
}

impl Step {
    pub(super) fn random(kind: Kind, random: &mut fastrand::Rng) -> Self {
        let place = Place::ALL[random.usize(..2)];
        match random.u8(0..46) {
            0..=3 => Self::Use(place),
            4 if kind.is_postgres() => Self::UseLocally(place),
            4 => Self::Use(place),
            5..=6 => Self::Shadow,
            7 => Self::Unshadow,
            8..=9 => Self::Role(random.bool()),
            10 => Self::Lock,
            11 => Self::Unlock,
            12..=13 => Self::Set(random.u8(1..9)),
            14..=17 => Self::Read,
            18..=19 => Self::ReadSome,
            20 => Self::ReadRole,
            21 => Self::ReadLock,
            22 => Self::ReadSetting,
            23..=24 => Self::CountRows,
            25..=28 => Self::Write,
            29..=31 => Self::WriteRows { leaves: random.bool() },
            32 => Self::Leave,
            33..=34 => Self::Fail,
            35..=37 => Self::Kill,
            38..=41 => Self::Begin,
            42..=43 => Self::Commit,
            44 => Self::RollBack,
            _ => Self::Close,
        }
    }
}
