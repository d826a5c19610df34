//! The proxy, between a client and a server that sends back what it gets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::Proxy;

/// A server that echoes, until its process ends.
fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    Proxy::start(address)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Nothing comes for a moment, which is all that can be seen of silence.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
    let silent = stream.read(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    silent
}

#[test]
fn passes_both_ways() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    assert_eq!(exchange(&mut stream, "hello"), "hello");
    assert_eq!((proxy.connections(), proxy.bytes_from_server(), proxy.bytes_from_client()), (1, 5, 5));
    drop(stream);
    proxy.wait_until_connections(0);
}

#[test]
fn passes_much() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut writer, copy) = (stream.try_clone().unwrap(), sent.clone());
    let writing = std::thread::spawn(move || writer.write_all(&copy));
    let mut received = vec![0; sent.len()];
    stream.read_exact(&mut received).unwrap();
    writing.join().unwrap().unwrap();
    assert!(received == sent);
}

#[test]
fn reset_is_a_reset() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "hello");
    proxy.reset();
    // It has been sent by now: no waiting.
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(exchange(&mut connect(&proxy), "again"), "again");
}

#[test]
fn close_is_an_end() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "hello");
    proxy.close();
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn swallowed_bytes_arrive_later() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "hello");
    proxy.swallow(true);
    stream.write_all(b"late").unwrap();
    assert!(is_silent(&mut stream));
    assert_eq!(proxy.connections(), 1);
    proxy.swallow(false);
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"late");
}

#[test]
fn deaf_accepts_and_never_answers() {
    let proxy = echo();
    proxy.deaf(true);
    let mut stream = connect(&proxy);
    stream.write_all(b"anybody?").unwrap();
    assert!(is_silent(&mut stream));
    proxy.reset();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.deaf(false);
    assert_eq!(exchange(&mut connect(&proxy), "hello"), "hello");
}

#[test]
fn delay_holds_back() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    proxy.delay(Duration::from_millis(40));
    let started = std::time::Instant::now();
    assert_eq!(exchange(&mut stream, "slow"), "slow");
    assert!(started.elapsed() >= Duration::from_millis(80));
}

#[test]
fn cut_after_lets_exactly_so_many_bytes_through() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "hello");
    proxy.cut_after(7);
    assert_eq!(exchange(&mut stream, "1234"), "1234");
    stream.write_all(b"5678").unwrap();
    let mut rest = Vec::new();
    let error = stream.read_to_end(&mut rest).unwrap_err();
    assert_eq!((rest.as_slice(), error.kind()), (b"567".as_slice(), ErrorKind::ConnectionReset));
    proxy.wait_until_cuts(1);
    assert_eq!(exchange(&mut connect(&proxy), "passes again"), "passes again");
}

#[test]
fn cut_after_nothing_waits_for_the_next_byte() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "hello");
    proxy.cut_after(0);
    assert!(is_silent(&mut stream));
    stream.write_all(b"x").unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn cut_after_from_client_counts_what_the_client_sends() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "hello");
    proxy.cut_after_from_client(3);
    stream.write_all(b"12345").unwrap();
    proxy.wait_until_cuts(1);
    assert_eq!(proxy.bytes_from_client(), 8);
}

#[test]
fn refuse_and_listen_again() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "hello");
    proxy.refuse(true);
    let error = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(exchange(&mut stream, "still here"), "still here");
    proxy.refuse(false);
    assert_eq!(exchange(&mut connect(&proxy), "welcome"), "welcome");
}
