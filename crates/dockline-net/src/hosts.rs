//! Several hosts of one alias: which is tried when, and which is fit.

use std::time::Instant;

use dockline_core::{Error, ErrorKind, Fact, LoadBalanceHosts, Result, Settings, TargetSessionAttrs};

use crate::deadline::Deadline;
use crate::known::{Known, RECHECK};

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
///
/// Who connects learns from those who connected before: a host that could not be reached, or was of another role, is tried after the
/// others for ten seconds, and then by one caller first. It is the alias's knowledge, of all of its threads.
#[derive(Debug)]
pub struct Hosts<P> {
    hosts: Vec<One<P>>,
    wanted: TargetSessionAttrs,
    order: LoadBalanceHosts,
    since: Instant,
}

#[derive(Debug)]
struct One<P> {
    name: String,
    plan: P,
    known: Known,
}

impl<P> Hosts<P> {
    /// Makes the plan of each host. `plan` answers with the name that the host has in messages.
    ///
    /// # Errors
    ///
    /// Those of `plan`, and that the list of hosts is malformed.
    pub fn of(settings: &Settings, plan: impl Fn(&Settings) -> Result<(String, P)>) -> Result<Self> {
        let one = |settings: &Settings| plan(settings).map(|(name, plan)| One { name, plan, known: Known::default() });
        let hosts = settings.one_per_host()?.iter().map(one).collect::<Result<Vec<_>>>()?;
        let (wanted, order) = (settings.get_target_session_attrs(), settings.get_load_balance_hosts());
        Ok(Self { hosts, wanted, order, since: Instant::now() })
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
        if let ([only], TargetSessionAttrs::Any) = (self.hosts.as_slice(), self.wanted) {
            return connect(&only.plan, deadline);
        }
        let ask = |host: &One<P>, wanted: TargetSessionAttrs, share: Deadline| {
            let mut session = connect(&host.plan, share)?;
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
        };
        // As libpq, it goes round once more if a standby is only preferred. The first round need not ask who was none a moment ago.
        let rounds: &[_] = match self.wanted {
            TargetSessionAttrs::PreferStandby => &[TargetSessionAttrs::PreferStandby, TargetSessionAttrs::Any],
            _ => &[self.wanted],
        };
        let mut said = Vec::new();
        for (round, wanted) in rounds.iter().enumerate() {
            let rounds_left = rounds.len() - round - 1;
            // What the first round said is said by the second again.
            said.clear();
            let (mut hosts, useless) = self.in_order(*wanted);
            if rounds_left == 0 {
                hosts.extend(useless);
            }
            let mut left = hosts.len() + rounds_left * self.hosts.len();
            for host in hosts {
                let Some(share) = deadline.share(left) else { break };
                left -= 1;
                let answer = ask(host, *wanted, deadline.sooner(share));
                self.learn(host, *wanted, &answer);
                match answer {
                    Ok(Ok(session)) => return Ok(session),
                    Ok(Err(role)) => said.push((host.name.as_str(), Err(role))),
                    Err(error) if may_differ_elsewhere(&error) => said.push((host.name.as_str(), Ok(error))),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(self.none(said, deadline))
    }

    /// All hosts: those of which nothing bad is known, and the others.
    fn in_order(&self, wanted: TargetSessionAttrs) -> (Vec<&One<P>>, Vec<&One<P>>) {
        let mut all: Vec<&One<P>> = self.hosts.iter().collect();
        if self.order == LoadBalanceHosts::Random {
            fastrand::shuffle(&mut all);
        }
        let (now, role_matters) = (self.since.elapsed(), wanted != TargetSessionAttrs::Any);
        all.into_iter().partition(|host| host.known.comes_first(now, role_matters))
    }

    fn learn<S>(&self, host: &One<P>, wanted: TargetSessionAttrs, answer: &Result<Result<S, Role>>) {
        let (name, now) = (&host.name, self.since.elapsed());
        match answer {
            // A server that is full may have a place in a moment, and says so at once.
            Err(error) if error.is_disconnect() && !error.is_exhausted() => {
                if host.known.lost(now) && self.hosts.len() > 1 {
                    let code = error.code().map(|code| format!(" ({code})")).unwrap_or_default();
                    log::warn!(
                        target: "dockline::connection",
                        "host {name}: it cannot be reached{code}; for {RECHECK:?} it is tried after the other hosts of its alias"
                    );
                }
            }
            Err(_) => {}
            Ok(found) => {
                if host.known.reached() {
                    log::info!(target: "dockline::connection", "host {name}: it can be reached again");
                }
                match found {
                    Err(_) => host.known.unfit(now),
                    Ok(_) if wanted != TargetSessionAttrs::Any => host.known.fits(),
                    Ok(_) => {}
                }
            }
        }
    }

    fn none(&self, said: Vec<(&str, Result<Error, Role>)>, deadline: Deadline) -> Error {
        let all: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
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
        let settings = Settings::new().host(names(hosts)).target_session_attrs(wanted);
        play_with(&Hosts::of(&settings, plain).unwrap(), hosts)
    }

    fn names(hosts: &[Result<Role, Error>]) -> String {
        (0..hosts.len()).map(|n| char::from(b'a' + n as u8).to_string()).collect::<Vec<_>>().join(",")
    }

    fn plain(one: &Settings) -> Result<(String, String)> {
        let name = one.get_host().unwrap().to_owned();
        Ok((name.clone(), name))
    }

    fn play_with(all: &Hosts<String>, hosts: &[Result<Role, Error>]) -> (Result<String>, Vec<String>, usize) {
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
    fn who_comes_next_does_not_ask_what_was_of_no_use_a_moment_ago() {
        use TargetSessionAttrs::{Any, PreferStandby, ReadWrite};
        for (wanted, hosts, tried) in [
            (Any, vec![Err(gone()), Ok(PRIMARY)], "abbb"),
            (Any, vec![Ok(STANDBY), Err(gone())], "aaa"),
            (ReadWrite, vec![Ok(STANDBY), Err(gone()), Ok(PRIMARY)], "abccc"),
            // That there is no standby is known, too.
            (PreferStandby, vec![Err(gone()), Ok(PRIMARY), Ok(FROZEN)], "abcbbb"),
        ] {
            let all = Hosts::of(&Settings::new().host(names(&hosts)).target_session_attrs(wanted), plain).unwrap();
            let seen: String = (0..3).map(|_| play_with(&all, &hosts).1.concat()).collect();
            assert_eq!(seen, tried, "{wanted}");
        }
    }

    #[test]
    fn if_none_is_of_use_each_is_tried_again() {
        let hosts = [Err(gone()), Err(gone())];
        let all = Hosts::of(&Settings::new().host(names(&hosts)), plain).unwrap();
        for _ in 0..3 {
            let (result, tried, _) = play_with(&all, &hosts);
            assert!(result.is_err());
            assert_eq!(tried.len(), 2);
        }
        // One that comes back is found although all were lost.
        assert_eq!(play_with(&all, &[Err(gone()), Ok(PRIMARY)]).0.unwrap(), "b");
        assert_eq!(play_with(&all, &[Ok(PRIMARY), Ok(PRIMARY)]).0.unwrap(), "b", "and is known from then on");
    }

    #[test]
    fn a_server_that_is_full_is_asked_again_the_next_time() {
        let full = || Error::new(ErrorKind::Operational, "full").with_code("53300").with_fact(Fact::Exhausted);
        let all = Hosts::of(&Settings::new().host("a,b"), plain).unwrap();
        assert_eq!(play_with(&all, &[Err(full()), Ok(PRIMARY)]).0.unwrap(), "b");
        assert_eq!(play_with(&all, &[Ok(PRIMARY), Ok(PRIMARY)]).0.unwrap(), "a");
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
