//! In which meaning a session's texts run, as far as it goes by the values of settings.

use std::collections::HashMap;
use std::sync::Arc;

use dockline_core::statement::Meaning;

/// The settings that names and rights hang on, each as the text of the statement that set it: the same text gives the
/// same meaning. `None`: as the session began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Context {
    session: Values,
    /// Until the transaction ends.
    local: Values,
}

type Values = [Option<Arc<str>>; KEPT.len()];

const KEPT: [Meaning; 3] = [Meaning::SearchPath, Meaning::Role, Meaning::Authorization];

impl Context {
    /// Whether the meaning goes by the value of a setting.
    pub(super) fn keeps(meaning: Meaning) -> bool {
        KEPT.contains(&meaning)
    }

    /// The setting was set by this text.
    pub(super) fn set(&mut self, meaning: Meaning, by: &Arc<str>, is_local: bool) {
        let Some(at) = KEPT.iter().position(|kept| *kept == meaning) else { return };
        if is_local {
            self.local[at] = Some(Arc::clone(by));
        } else {
            self.session[at] = Some(Arc::clone(by));
            self.local[at] = None;
        }
    }

    pub(super) fn end_transaction(&mut self) {
        self.local = Values::default();
    }

    /// What holds now.
    fn values(&self) -> Values {
        std::array::from_fn(|at| self.local[at].clone().or_else(|| self.session[at].clone()))
    }

    fn is_default(&self) -> bool {
        self.session.iter().chain(&self.local).all(Option::is_none)
    }
}

/// Numbers for contexts, so that a text has a short key in each.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    numbers: HashMap<Values, u64>,
    last: u64,
}

/// So many are remembered. A program with more tenants prepares anew now and then.
const MOST: usize = 10_000;

impl Contexts {
    /// The number of a context: 0 for that in which the session began.
    pub(super) fn number(&mut self, context: &Context) -> u64 {
        if context.is_default() {
            return 0;
        }
        if self.numbers.len() >= MOST {
            self.numbers.clear();
        }
        *self.numbers.entry(context.values()).or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }

    /// A text that belongs to no other context.
    pub(super) fn unique(&mut self) -> Arc<str> {
        self.last += 1;
        self.last.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_settings_are_the_same_context() {
        let (mut contexts, mut context) = (Contexts::default(), Context::default());
        let [a, b]: [Arc<str>; 2] = ["SET search_path = a".into(), "SET search_path = b".into()];
        assert_eq!(contexts.number(&context), 0);
        context.set(Meaning::SearchPath, &a, true);
        let first = contexts.number(&context);
        context.set(Meaning::SearchPath, &b, true);
        let second = contexts.number(&context);
        assert!(first != 0 && second != 0 && first != second);
        context.end_transaction();
        assert_eq!(contexts.number(&context), 0);
        context.set(Meaning::SearchPath, &a, false);
        assert_eq!(contexts.number(&context), first, "local or not, it is the same path");
        context.set(Meaning::Role, &b, false);
        assert!(![0, first, second].contains(&contexts.number(&context)));
        assert_ne!(contexts.unique(), contexts.unique());
    }

    #[test]
    fn what_a_session_sets_ends_what_is_local() {
        let (mut contexts, mut context) = (Contexts::default(), Context::default());
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        context.set(Meaning::SearchPath, &a, true);
        context.set(Meaning::SearchPath, &b, false);
        let number = contexts.number(&context);
        context.end_transaction();
        assert_eq!(contexts.number(&context), number);
    }
}
