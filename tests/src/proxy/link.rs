//! One connection through the proxy: two threads, one for each direction.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use socket2::SockRef;

use super::Shared;

/// How soon a thread that waits for bytes notices that the connection is to end.
const TICK: Duration = Duration::from_millis(5);

/// A client, and the server on its behalf.
pub(super) struct Link {
    id: usize,
    shared: Arc<Shared>,
    fate: Arc<Fate>,
    client: TcpStream,
    server: TcpStream,
}

/// How a connection is to end.
#[derive(Debug, Default)]
pub(super) struct Fate {
    end: AtomicU8,
    /// The client has been told that the server has ended it.
    told: AtomicBool,
}

impl Fate {
    const LIVES: u8 = 0;
    pub(super) const CLOSE: u8 = 1;
    pub(super) const RESET: u8 = 2;
    /// A reset that counts as a cut.
    const CUT: u8 = 3;

    /// The first to decide it decides it.
    pub(super) fn set(&self, fate: u8) {
        let _ = self.end.compare_exchange(Self::LIVES, fate, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn get(&self) -> u8 {
        self.end.load(Ordering::SeqCst)
    }

    /// Whether this is the first to say that the client has been told.
    fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::SeqCst)
    }

    fn lives(&self) -> bool {
        self.get() == Self::LIVES
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    FromServer,
    FromClient,
}

impl Link {
    pub(super) fn start(shared: &Arc<Shared>, client: TcpStream, upstream: SocketAddr) {
        let (shared, fate) = (Arc::clone(shared), Arc::new(Fate::default()));
        let (id, deaf) = {
            let mut state = shared.lock();
            state.accepted += 1;
            let id = state.accepted;
            state.links.insert(id, Arc::clone(&fate));
            (id, state.deaf)
        };
        shared.changed.notify_all();
        let told = Arc::clone(&fate);
        std::thread::spawn(move || {
            let cut = if deaf { ignore(client, &fate) } else { forward(&shared, id, fate, client, upstream) };
            let mut state = shared.lock();
            state.links.remove(&id);
            state.cuts += usize::from(cut);
            state.ended += usize::from(told.tell());
            drop(state);
            shared.changed.notify_all();
        });
    }

    /// Moves bytes one way until the connection ends.
    fn pump(&self, direction: Direction) {
        let (mut from, to) = match direction {
            Direction::FromServer => (&self.server, &self.client),
            Direction::FromClient => (&self.client, &self.server),
        };
        let (mut held, mut buffer, mut ended) = (Vec::new(), [0; 16 * 1024], false);
        while self.fate.lives() {
            if ended {
                std::thread::sleep(TICK);
            } else {
                match from.read(&mut buffer) {
                    Ok(0) => ended = true,
                    Ok(length) => {
                        self.hear(&buffer[..length], direction);
                        self.take(&buffer[..length], direction, &mut held);
                    }
                    Err(error) if is_tick(&error) => {}
                    // The other side was reset, and so is this one.
                    Err(_) => return self.fate.set(Fate::RESET),
                }
            }
            let (waits, delay) = {
                let state = self.shared.lock();
                (state.swallow || state.holding, state.delay)
            };
            if waits {
                continue;
            }
            if !held.is_empty() {
                self.sleep(delay);
                self.hand_on_in_drops(&mut held, to, direction);
            } else if ended {
                let _ = to.shutdown(Shutdown::Write);
                if matches!(direction, Direction::FromServer) && self.fate.tell() {
                    self.shared.lock().ended += 1;
                    self.shared.changed.notify_all();
                }
                return;
            }
        }
    }

    fn hear(&self, bytes: &[u8], direction: Direction) {
        if let (Direction::FromClient, Some(heard)) = (direction, &mut self.shared.lock().heard) {
            heard.entry(self.id).or_default().extend_from_slice(bytes);
        }
    }

    /// Takes what has come, as it is or as it is to be.
    fn take(&self, bytes: &[u8], direction: Direction, held: &mut Vec<u8>) {
        let mut state = self.shared.lock();
        if matches!(direction, Direction::FromClient) {
            state.taken += bytes.len() as u64;
            self.shared.changed.notify_all();
        }
        match (&mut state.change.0, direction) {
            (Some(change), Direction::FromClient) => {
                let mut bytes = bytes.to_vec();
                change(&mut bytes);
                held.append(&mut bytes);
            }
            _ => held.extend_from_slice(bytes),
        }
    }

    /// Writes what is held: at once, or byte by byte for as long as that is asked for.
    fn hand_on_in_drops(&self, held: &mut Vec<u8>, to: &TcpStream, direction: Direction) {
        while held.len() > 1 && matches!(direction, Direction::FromServer) && self.fate.lives() {
            let state = self.shared.lock();
            if state.holding {
                return;
            }
            let Some((from, pause)) = state.drip else { break };
            let before = from.saturating_sub(state.passed[direction as usize]);
            drop(state);
            if before > 0 {
                let mut rest = held.split_off(held.len().min(usize::try_from(before).unwrap_or(usize::MAX)));
                self.hand_on(held, to, direction);
                held.append(&mut rest);
                continue;
            }
            let mut rest = held.split_off(1);
            self.hand_on(held, to, direction);
            held.append(&mut rest);
            self.sleep(pause);
        }
        if !held.is_empty() {
            self.hand_on(held, to, direction);
        }
    }

    /// Writes what is held, up to a cut, or up to what is to be held back.
    fn hand_on(&self, held: &mut Vec<u8>, to: &TcpStream, direction: Direction) {
        let index = direction as usize;
        let (allowed, cut) = {
            let mut state = self.shared.lock();
            let mut length = held.len() as u64;
            if let Some(hold) = &mut state.holds[index] {
                length = length.min(*hold);
                *hold -= length;
                if *hold == 0 {
                    (state.holds[index], state.holding) = (None, true);
                }
            }
            let budget = &mut state.budgets[index];
            let allowed = budget.map_or(length, |budget| budget.min(length));
            let cut = *budget == Some(allowed);
            *budget = if cut { None } else { budget.map(|budget| budget - allowed) };
            state.passed[index] += allowed;
            (usize::try_from(allowed).expect("a length"), cut)
        };
        self.write(&held[..allowed], to);
        held.drain(..allowed);
        if cut {
            held.clear();
            self.fate.set(Fate::CUT);
        }
    }

    /// Writes all of it, unless the connection is to end before the other side has taken it.
    fn write(&self, mut bytes: &[u8], mut to: &TcpStream) {
        while !bytes.is_empty() && self.fate.lives() {
            match to.write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if is_tick(&error) => {}
                Err(_) => return self.fate.set(Fate::RESET),
            }
        }
    }

    fn sleep(&self, mut delay: Duration) {
        while !delay.is_zero() && self.fate.lives() {
            let part = delay.min(TICK);
            std::thread::sleep(part);
            delay -= part;
        }
    }
}

/// Forwards until the end, and says whether that was a cut.
fn forward(shared: &Arc<Shared>, id: usize, fate: Arc<Fate>, client: TcpStream, upstream: SocketAddr) -> bool {
    let Ok(server) = TcpStream::connect(upstream) else {
        reset_at_close(&client);
        return false;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(TICK)).expect("a socket");
        stream.set_write_timeout(Some(TICK)).expect("a socket");
    }
    let link = Link { id, shared: Arc::clone(shared), fate, client, server };
    std::thread::scope(|scope| {
        scope.spawn(|| link.pump(Direction::FromServer));
        link.pump(Direction::FromClient);
    });
    let fate = link.fate.get();
    if fate >= Fate::RESET {
        reset_at_close(&link.client);
    }
    // The system sends the reset when the last handle of the socket is closed: here.
    fate == Fate::CUT
}

/// A connection that nobody answers.
fn ignore(client: TcpStream, fate: &Fate) -> bool {
    while fate.lives() {
        std::thread::sleep(TICK);
    }
    if fate.get() >= Fate::RESET {
        reset_at_close(&client);
    }
    false
}

fn reset_at_close(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn is_tick(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
