//! Random sequences of what programs do to a session, on each server, against a model in memory that makes no exceptions: what a
//! statement reads, where it writes, and whether it may succeed at all.
//!
//! A run ends by itself. When it fails it prints the seed and the shortest sequence that fails as well; `DOCKLINE_TEST_SEED` runs
//! that one again, and `DOCKLINE_TEST_SEQUENCES` says how many there are.

mod model;
mod play;
mod steps;

use std::time::{Duration, Instant};

use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use play::Stage;
use steps::Step;

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(sessions_are_as_the_model_says).own_server()]
}

/// So long a run looks for sequences that fail, at the most, unless it is told how many to try.
const LOOKS: Duration = Duration::from_secs(8);
/// So long it makes one shorter.
const SHORTENS: Duration = Duration::from_secs(15);
const SEQUENCES: usize = 250;
const FEWEST: usize = 10;
const LONGEST: usize = 18;

fn sessions_are_as_the_model_says(server: &Server) {
    let told = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = told("DOCKLINE_TEST_SEED");
    let sequences = told("DOCKLINE_TEST_SEQUENCES").map(|count| usize::try_from(count).expect("a number"));
    let mut random = fastrand::Rng::with_seed(seed.unwrap_or_else(|| fastrand::u64(..)));
    let mut stage = Stage::new(server);
    let started = Instant::now();
    let mut tried = 0;
    let goes_on = |tried| match sequences {
        Some(count) => tried < count,
        // Some are tried on the slowest machine, too.
        None => tried < FEWEST || (tried < SEQUENCES && started.elapsed() < LOOKS),
    };
    while goes_on(tried) {
        // Each sequence has a seed of its own, so that one that fails can be run alone.
        let seed = if tried == 0 { random.get_seed() } else { random.u64(..) };
        let steps = sequence(server.kind(), seed);
        if let Err(fault) = stage.play(&steps) {
            let (steps, fault) = shortest(&mut stage, steps, fault);
            panic!("seed {seed}: {fault}\n{steps:#?}");
        }
        tried += 1;
    }
    eprintln!("{}: {tried} sequences in {:?}", server.kind().name(), started.elapsed());
}

fn sequence(kind: Kind, seed: u64) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let length = random.usize(3..=LONGEST);
    std::iter::repeat_with(|| Step::random(kind, &mut random)).take(length).collect()
}

/// Leaves out what it can of a sequence that fails.
fn shortest(stage: &mut Stage<'_>, mut steps: Vec<Step>, mut fault: String) -> (Vec<Step>, String) {
    let started = Instant::now();
    let mut at = 0;
    while at < steps.len() && started.elapsed() < SHORTENS {
        let mut fewer = steps.clone();
        fewer.remove(at);
        match stage.play(&fewer) {
            Err(other) => (steps, fault, at) = (fewer, other, 0),
            Ok(()) => at += 1,
        }
    }
    (steps, fault)
}
