//! A proxy that makes the faults of a network, on command.

mod link;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use link::{Direction, Fate, Link};

const LIMIT: Duration = Duration::from_secs(30);

/// Forwards connections to a server, until it is told not to. What it is told holds at once, for the connections that
/// exist and for new ones.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    upstream: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

/// What the proxy and its threads share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// A connection has come or gone.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    swallow: bool,
    deaf: bool,
    refuse: bool,
    delay: Duration,
    /// From how many bytes on the server's come one by one, and with which pause.
    drip: Option<(u64, Duration)>,
    /// What the clients have sent, each connection by itself, if somebody wants to know.
    heard: Option<HashMap<usize, Vec<u8>>>,
    /// How many bytes may still pass before a cut, each way.
    budgets: [Option<u64>; 2],
    /// How many bytes may still pass before the rest is held back, each way.
    holds: [Option<u64>; 2],
    /// That point has been reached.
    holding: bool,
    /// What becomes of each piece that clients send.
    change: Change,
    /// How many bytes have passed, each way.
    passed: [u64; 2],
    /// How many bytes have come from clients, passed on or not.
    taken: u64,
    accepted: usize,
    /// How many connections are over as far as the server goes, and the clients have been told.
    ended: usize,
    cuts: usize,
    links: HashMap<usize, Arc<Fate>>,
}

/// Changes what clients send.
#[derive(Default)]
struct Change(Option<Box<Changer>>);

type Changer = dyn FnMut(&mut Vec<u8>) + Send;

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "something" } else { "nothing" })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(upstream: SocketAddr) -> Self {
        let (listener, port) = listen();
        let proxy = Self { port, upstream, shared: Arc::default(), acceptor: Mutex::new(None) };
        proxy.accept_on(listener);
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.lock().links.len()
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.shared.lock().accepted
    }

    /// How many bytes of the server's have been handed on to clients.
    pub fn bytes_from_server(&self) -> u64 {
        self.shared.lock().passed[Direction::FromServer as usize]
    }

    /// How many bytes of the clients' have been handed on to the server.
    pub fn bytes_from_client(&self) -> u64 {
        self.shared.lock().passed[Direction::FromClient as usize]
    }

    /// How many bytes have come from clients, those included that were swallowed or are held back.
    pub fn taken_from_client(&self) -> u64 {
        self.shared.lock().taken
    }

    /// Waits until more bytes than that have come from clients.
    pub fn wait_until_more_taken(&self, than: u64) {
        self.wait(&format!("more than {than} bytes have come"), |state| state.taken > than);
    }

    /// Ends every connection with a reset (RST) to the client. It has been sent when this returns.
    pub fn reset(&self) {
        self.end_all(Fate::RESET);
    }

    /// Ends every connection in order (FIN), both ways. It has been sent when this returns.
    pub fn close(&self) {
        self.end_all(Fate::CLOSE);
    }

    /// While it is on, what is sent is taken, and nothing arrives: a network that has gone silent. What was taken arrives
    /// when it is switched off.
    pub fn swallow(&self, on: bool) {
        self.shared.lock().swallow = on;
    }

    /// While it is on, new connections are accepted, and that is all that ever happens on them.
    pub fn deaf(&self, on: bool) {
        self.shared.lock().deaf = on;
    }

    /// Holds each piece back for this long, each way. Zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// Hands on what the server sends byte by byte, with so long a pause after each: a server that is never silent, and never done.
    /// It begins when so many more bytes have passed, on all connections together, and ends with `pass`.
    pub fn drip_after(&self, bytes: u64, pause: Duration) {
        let mut state = self.shared.lock();
        state.drip = Some((state.passed[Direction::FromServer as usize] + bytes, pause));
    }

    /// Keeps what clients send from now on.
    pub fn listen(&self) {
        self.shared.lock().heard = Some(HashMap::new());
    }

    /// What each connection has sent since [`listen`](Self::listen), as it stood on the wire.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.shared.lock().heard.iter().flat_map(HashMap::values).cloned().collect()
    }

    /// Lets exactly so many more bytes of the server's through, on all connections together, and resets the connection
    /// that carried the last of them. With 0 that is the one to which the server sends next. It happens once.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.lock().budgets[Direction::FromServer as usize] = Some(bytes);
    }

    /// The same, counting what the clients send.
    pub fn cut_after_from_client(&self, bytes: u64) {
        self.shared.lock().budgets[Direction::FromClient as usize] = Some(bytes);
    }

    /// Lets exactly so many more bytes of the server's through, on all connections together, and holds back what comes behind them,
    /// both ways, until [`pass`](Self::pass).
    pub fn hold_after(&self, bytes: u64) {
        self.hold(Direction::FromServer, bytes);
    }

    /// The same, counting what the clients send.
    pub fn hold_after_from_client(&self, bytes: u64) {
        self.hold(Direction::FromClient, bytes);
    }

    fn hold(&self, direction: Direction, bytes: u64) {
        let mut state = self.shared.lock();
        state.holds = [None; 2];
        state.holds[direction as usize] = Some(bytes);
    }

    /// Whether something is held back since [`hold_after`](Self::hold_after) or its like.
    pub fn is_holding(&self) -> bool {
        self.shared.lock().holding
    }

    /// Hands each piece that a client sends to `change`, which may make something else of it, until [`pass`](Self::pass). A message of a
    /// few bytes is one piece.
    pub fn change_from_client(&self, change: impl FnMut(&mut Vec<u8>) + Send + 'static) {
        self.shared.lock().change = Change(Some(Box::new(change)));
    }

    /// How often a connection was cut.
    pub fn cuts(&self) -> usize {
        self.shared.lock().cuts
    }

    /// Switches off all but what `refuse` has done.
    pub fn pass(&self) {
        let mut state = self.shared.lock();
        (state.swallow, state.deaf, state.delay, state.budgets) = (false, false, Duration::ZERO, [None; 2]);
        state.drip = None;
        (state.holds, state.holding, state.change) = ([None; 2], false, Change::default());
    }

    /// True stops listening, so that new connections are refused; false listens again on the same port. Connections that
    /// exist live on.
    pub fn refuse(&self, on: bool) {
        let was = std::mem::replace(&mut self.shared.lock().refuse, on);
        if on && !was {
            self.stop_accepting();
        } else if was && !on {
            self.accept_on(TcpListener::bind(("127.0.0.1", self.port)).expect("the port that was ours"));
        }
    }

    /// Waits until exactly so many connections are open.
    pub fn wait_until_connections(&self, count: usize) {
        self.wait(&format!("{count} connections are open"), |state| state.links.len() == count);
    }

    /// How many connections the server has ended, so that the client has been told.
    pub fn ended_by_server(&self) -> usize {
        self.shared.lock().ended
    }

    /// Waits until the server has ended so many connections, and the clients have been told.
    pub fn wait_until_ended_by_server(&self, count: usize) {
        self.wait(&format!("the server has ended {count} connections"), |state| state.ended >= count);
    }

    /// Waits until so many connections were cut, and the resets have been sent.
    pub fn wait_until_cuts(&self, count: usize) {
        self.wait(&format!("{count} connections were cut"), |state| state.cuts >= count);
    }

    fn wait(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let (started, mut state) = (Instant::now(), self.shared.lock());
        while !condition(&state) {
            assert!(started.elapsed() < LIMIT, "waited 30 s until {what}; {state:?}");
            state = self.shared.changed.wait_timeout(state, Duration::from_millis(100)).expect("no poison").0;
        }
    }

    /// Tells the connections that are there now, and waits until they are gone.
    fn end_all(&self, fate: u8) {
        let ids: Vec<usize> = {
            let state = self.shared.lock();
            state.links.values().for_each(|link| link.set(fate));
            state.links.keys().copied().collect()
        };
        self.wait("connections have ended", |state| !ids.iter().any(|id| state.links.contains_key(id)));
    }

    fn accept_on(&self, listener: TcpListener) {
        let (shared, upstream) = (Arc::clone(&self.shared), self.upstream);
        let accept = move || {
            for client in listener.incoming() {
                if shared.lock().refuse {
                    return;
                }
                let Ok(client) = client else { continue };
                Link::start(&shared, client, upstream);
            }
        };
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(accept).expect("a thread");
        *self.acceptor.lock().unwrap() = Some(thread);
    }

    /// The listener is closed when this returns. A connection to ourselves wakes the thread that waits on it.
    fn stop_accepting(&self) {
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.acceptor.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let links: Vec<Arc<Fate>> = {
            let mut state = self.shared.lock();
            state.refuse = true;
            state.links.values().cloned().collect()
        };
        links.iter().for_each(|link| link.set(Fate::CLOSE));
        self.stop_accepting();
    }
}

/// A listener below the range of ports of outgoing connections: none of those takes the port while we refuse.
fn listen() -> (TcpListener, u16) {
    for _ in 0..1000 {
        let port = fastrand::u16(20_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return (listener, port);
        }
    }
    panic!("no port between 20000 and 32000 is free on 127.0.0.1");
}

#[cfg(test)]
mod tests;
