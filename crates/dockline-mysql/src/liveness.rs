//! What a look at the socket says of a connection that is idle.

use dockline_core::backend::Health;
use dockline_core::{Error, ErrorKind, Fact};
use dockline_net::{Look, Wire};

use crate::error::gone;

/// Looks, without a round trip.
pub(crate) fn look(wire: &Wire, encrypted: bool) -> Health {
    match wire.look() {
        Look::Quiet => Health::Alive,
        Look::Closed => Health::Gone(gone("the server closed the connection")),
        Look::Failed(error) => Health::Gone(gone(&error).with_source(error)),
        // A ticket for another session, or the end of this one: it cannot be read here.
        Look::Data if encrypted => Health::Ask,
        Look::Data => {
            let mut buffer = [0; 512];
            Health::Gone(last_words(wire.peek(&mut buffer)))
        }
    }
}

/// A server that speaks without being asked says why it hangs up; MySQL does after `wait_timeout`.
fn last_words(packet: &[u8]) -> Error {
    // Three bytes of length, the number of the packet, 0xff for an error, its code, '#' and a state of five characters.
    if let [_, _, _, 0, 0xff, low, high, rest @ ..] = packet {
        let text = match rest {
            [b'#', _, _, _, _, _, text @ ..] => text,
            text => text,
        };
        let text = String::from_utf8_lossy(text).into_owned();
        return Error::new(ErrorKind::Operational, text)
            .with_code(u16::from_le_bytes([*low, *high]).to_string())
            .with_fact(Fact::Disconnect);
    }
    gone("the server sent something that it was not asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_servers() {
        let text = b"The client was disconnected by the server because of inactivity.";
        let mut packet = vec![u8::try_from(text.len() + 9).unwrap(), 0, 0, 0, 0xff, 0xbf, 0x0f];
        packet.extend_from_slice(b"#HY000");
        packet.extend_from_slice(text);
        let error = last_words(&packet);
        assert_eq!(error.code().as_deref(), Some("4031"));
        assert_eq!(error.message().as_bytes(), text);
        assert!(error.is_disconnect() && !error.may_have_executed());
    }

    #[test]
    fn anything_else_is_out_of_step() {
        for packet in [&b""[..], b"\x01\0\0\x01\0", b"\x03\0\0\0\xff"] {
            assert_eq!(last_words(packet).code().as_deref(), Some("2006"));
        }
    }
}
