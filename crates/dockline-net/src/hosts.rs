//! Several hosts of one alias: which is tried when, and which is fit.

use dockline_core::{Error, ErrorKind, Fact, LoadBalanceHosts, Result, Settings, TargetSessionAttrs};

use crate::deadline::Deadline;

/// What a server is, as far as the choice among several goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// It follows another server.
    pub standby: bool,
    /// Transactions cannot write.
    pub read_only: bool,
}

impl Role {
    /// Whether a server of this role is what a setting asks for.
    pub fn fits(self, wanted: TargetSessionAttrs) -> bool {
        match wanted {
            TargetSessionAttrs::ReadWrite => !self.read_only,
            TargetSessionAttrs::ReadOnly => self.read_only,
            TargetSessionAttrs::Primary => !self.standby,
            TargetSessionAttrs::Standby | TargetSessionAttrs::PreferStandby => self.standby,
            // Words that come later are a backend's to know.
            _ => true,
        }
    }

    fn word(self) -> &'static str {
        match (self.standby, self.read_only) {
            (true, _) => "a standby",
            (false, true) => "read-only",
            (false, false) => "a primary that takes writes",
        }
    }
}

/// The hosts of one alias, each with its plan for connecting.
#[derive(Debug)]
pub struct Hosts<P> {
    plans: Vec<(String, P)>,
    wanted: TargetSessionAttrs,
    order: LoadBalanceHosts,
}

impl<P> Hosts<P> {
    /// Makes the plan of each host. `plan` answers with the name that the host has in messages.
    ///
    /// # Errors
    ///
    /// Those of `plan`, and that the list of hosts is malformed.
    pub fn of(settings: &Settings, plan: impl Fn(&Settings) -> Result<(String, P)>) -> Result<Self> {
        let plans = settings.one_per_host()?.iter().map(plan).collect::<Result<Vec<_>>>()?;
        Ok(Self { plans, wanted: settings.get_target_session_attrs(), order: settings.get_load_balance_hosts() })
    }

    /// Connects to the first host that is fit, all within one deadline. `connect` connects to one, within the deadline that it is given;
    /// `role` says what it is, and is asked only if that matters; `close` closes what is not fit.
    ///
    /// # Errors
    ///
    /// That of the only host; of several, what each has said. What another host would not change, such as a wrong password, ends the
    /// search.
    pub fn connect<S>(
        &self,
        deadline: Deadline,
        connect: impl Fn(&P, Deadline) -> Result<S>,
        role: impl Fn(&mut S, Deadline) -> Result<Role>,
        close: impl Fn(S),
    ) -> Result<S> {
        if let ([(_, only)], TargetSessionAttrs::Any) = (self.plans.as_slice(), self.wanted) {
            return connect(only, deadline);
        }
        let mut order: Vec<usize> = (0..self.plans.len()).collect();
        if self.order == LoadBalanceHosts::Random {
            fastrand::shuffle(&mut order);
        }
        // Those that are standing by for a second look, as libpq goes round once more.
        let second =
            if self.wanted == TargetSessionAttrs::PreferStandby { Some(TargetSessionAttrs::Any) } else { None };
        let mut said = Vec::new();
        let mut left = order.len() * (1 + usize::from(second.is_some()));
        for wanted in [Some(self.wanted), second].into_iter().flatten() {
            // What the first round said is said by the second again.
            said.clear();
            for at in &order {
                let (name, plan) = &self.plans[*at];
                let Some(share) = deadline.share(left) else { break };
                left -= 1;
                let share = deadline.sooner(share);
                let tried = connect(plan, share).and_then(|mut session| {
                    if wanted == TargetSessionAttrs::Any {
                        return Ok(Ok(session));
                    }
                    match role(&mut session, share) {
                        Ok(role) if role.fits(wanted) => Ok(Ok(session)),
                        Ok(role) => {
                            close(session);
                            Ok(Err(role))
                        }
                        Err(error) => {
                            close(session);
                            Err(error)
                        }
                    }
                });
                match tried {
                    Ok(Ok(session)) => return Ok(session),
                    Ok(Err(role)) => said.push((name.as_str(), Err(role))),
                    Err(error) if may_differ_elsewhere(&error) => said.push((name.as_str(), Ok(error))),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(self.none(said, deadline))
    }

    fn none(&self, said: Vec<(&str, Result<Error, Role>)>, deadline: Deadline) -> Error {
        let all: Vec<&str> = self.plans.iter().map(|(name, _)| name.as_str()).collect();
        let all = all.join(", ");
        let mut message = match self.wanted {
            TargetSessionAttrs::Any | TargetSessionAttrs::PreferStandby => {
                format!("cannot connect to any host of {all}")
            }
            wanted => format!("no host of {all} is fit (target_session_attrs = {wanted})"),
        };
        let is_over = deadline.remaining().is_none();
        let mut last = None;
        for (name, what) in said {
            match what {
                Ok(error) => {
                    message += &format!("; {name}: {}", error.message());
                    if let Some(code) = error.code() {
                        message += &format!(" ({code})");
                    }
                    last = Some(error);
                }
                Err(role) => message += &format!("; {name} is {}", role.word()),
            }
        }
        if is_over {
            message += &format!("; the time is over ({:?}, connect_timeout)", deadline.limit());
        }
        let error = Error::new(ErrorKind::Operational, message).with_fact(Fact::Disconnect);
        let Some(last) = last else { return error };
        let error = if last.is_exhausted() { error.with_fact(Fact::Exhausted) } else { error };
        let error = match last.code() {
            Some(code) => error.with_code(code),
            None => error,
        };
        error.with_source(last)
    }
}

/// Whether another host may do what this one did not: it is not there, starts up, or has no place left. What is wrong with the user or
/// the password is wrong everywhere, and so is what is wrong on this side.
fn may_differ_elsewhere(error: &Error) -> bool {
    error.is_disconnect() || (error.is_exhausted() && error.code().is_some())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    const PRIMARY: Role = Role { standby: false, read_only: false };
    const STANDBY: Role = Role { standby: true, read_only: true };
    const FROZEN: Role = Role { standby: false, read_only: true };

    /// Plays hosts `a`, `b`, …: each is of a role, or gives an error.
    fn play(wanted: TargetSessionAttrs, hosts: &[Result<Role, Error>]) -> (Result<String>, Vec<String>, usize) {
        let names: Vec<String> = (0..hosts.len()).map(|n| char::from(b'a' + n as u8).to_string()).collect();
        let settings = Settings::new().host(names.join(",")).target_session_attrs(wanted);
        let all =
            Hosts::of(&settings, |one| Ok((one.get_host().unwrap().to_owned(), one.get_host().unwrap().to_owned())))
                .unwrap();
        let (tried, closed) = (RefCell::new(Vec::new()), RefCell::new(0));
        let at = |name: &str| &hosts[usize::from(name.as_bytes()[0] - b'a')];
        let connect = |name: &String, deadline: Deadline| {
            assert!(deadline.remaining().is_some());
            tried.borrow_mut().push(name.clone());
            match at(name) {
                Ok(_) => Ok(name.clone()),
                Err(error) => Err(copy(error)),
            }
        };
        let role = |name: &mut String, _: Deadline| Ok(*at(name).as_ref().unwrap());
        let result =
            all.connect(Deadline::after(Duration::from_secs(60)), connect, role, |_| *closed.borrow_mut() += 1);
        (result, tried.into_inner(), closed.into_inner())
    }

    fn copy(error: &Error) -> Error {
        let copy = Error::new(error.kind(), error.message().to_owned());
        let copy = if error.is_disconnect() { copy.with_fact(Fact::Disconnect) } else { copy };
        let copy = if error.is_exhausted() { copy.with_fact(Fact::Exhausted) } else { copy };
        match error.code() {
            Some(code) => copy.with_code(code),
            None => copy,
        }
    }

    fn gone() -> Error {
        Error::new(ErrorKind::Operational, "nobody there").with_fact(Fact::Disconnect)
    }

    #[test]
    fn the_first_that_fits_is_taken_and_the_others_are_closed() {
        use TargetSessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
        for (wanted, hosts, taken, closed) in [
            (Any, vec![Err(gone()), Ok(STANDBY)], "b", 0),
            (ReadWrite, vec![Ok(STANDBY), Ok(FROZEN), Ok(PRIMARY)], "c", 2),
            (ReadOnly, vec![Ok(PRIMARY), Ok(FROZEN)], "b", 1),
            (Primary, vec![Ok(STANDBY), Ok(FROZEN)], "b", 1),
            (Standby, vec![Ok(FROZEN), Ok(STANDBY)], "b", 1),
            (PreferStandby, vec![Ok(PRIMARY), Err(gone()), Ok(STANDBY)], "c", 1),
            (PreferStandby, vec![Err(gone()), Ok(PRIMARY)], "b", 1),
        ] {
            let (result, _, was_closed) = play(wanted, &hosts);
            assert_eq!((result.unwrap().as_str(), was_closed), (taken, closed), "{wanted}");
        }
    }

    #[test]
    fn the_error_says_what_each_host_said() {
        let (result, tried, closed) = play(TargetSessionAttrs::ReadWrite, &[Ok(STANDBY), Err(gone())]);
        let error = result.unwrap_err();
        assert_eq!((tried.len(), closed), (2, 1));
        assert!(error.is_disconnect(), "{error:?}");
        let wanted = "no host of a, b is fit (target_session_attrs = read-write); a is a standby; b: nobody there";
        assert_eq!(error.message(), wanted);
    }

    #[test]
    fn what_is_wrong_everywhere_ends_the_search() {
        let refused = || Error::new(ErrorKind::Operational, "no such user").with_code("28000");
        let (result, tried, _) = play(TargetSessionAttrs::Any, &[Err(refused()), Ok(PRIMARY)]);
        assert_eq!((result.unwrap_err().message(), tried.len()), ("no such user", 1));
        let full = || Error::new(ErrorKind::Operational, "full").with_code("53300").with_fact(Fact::Exhausted);
        let (result, tried, _) = play(TargetSessionAttrs::Any, &[Err(full()), Ok(PRIMARY)]);
        assert_eq!((result.unwrap().as_str(), tried.len()), ("b", 2));
    }

    #[test]
    fn in_random_order_each_comes_first_at_times() {
        let settings = Settings::new().host("a,b").load_balance_hosts(LoadBalanceHosts::Random);
        let all = Hosts::of(&settings, |one| Ok((String::new(), one.get_host().unwrap().to_owned()))).unwrap();
        let first = || {
            let connect = |name: &String, _| Ok(name.clone());
            all.connect(Deadline::after(Duration::from_secs(60)), connect, |_, _| Ok(PRIMARY), drop).unwrap()
        };
        let found: Vec<String> = (0..100).map(|_| first()).collect();
        assert!(found.contains(&"a".to_owned()) && found.contains(&"b".to_owned()));
    }
}
