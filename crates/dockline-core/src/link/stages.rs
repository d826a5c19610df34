//! In which state the connections are that a cap counts.

use crate::link::cap::{Holder, Place, Stage, Standing};

/// How many connections are in which state.
#[derive(Default)]
pub(crate) struct Stages {
    pub(crate) in_use: usize,
    pub(crate) parked: usize,
    pub(crate) opening: usize,
    pub(crate) closing: usize,
}

impl<P: Place> Standing<P> {
    pub(crate) fn stages(&self) -> Stages {
        let mut stages = Stages::default();
        for holder in &self.holders {
            *match holder.stage {
                Stage::Opening => &mut stages.opening,
                Stage::Closing => &mut stages.closing,
                Stage::Open if holder.is_parked() => &mut stages.parked,
                Stage::Open => &mut stages.in_use,
            } += 1;
        }
        stages
    }
}

impl<P: Place> Holder<P> {
    /// Whether its connection may be taken. A glance.
    pub(crate) fn is_parked(&self) -> bool {
        self.stage == Stage::Open && self.place.parked_since().is_some()
    }
}
