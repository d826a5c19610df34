//! Channel binding: the proof of a password is bound to the certificate that the client has seen, so that nobody between the two can
//! pass it on. This is `tls-server-end-point` of RFC 5929.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// The hash of the server's certificate (DER), by the hash function of its signature. `None` if the certificate cannot be read, or is
/// signed in a way for which the RFC has no answer, such as Ed25519.
pub(crate) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = hash_of(signature_algorithm(certificate)?)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// The object identifier of a certificate's signature: the first part of the second part of the outermost sequence.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    Some(element(algorithm, OBJECT_IDENTIFIER)?.0)
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The content of the element at the beginning, and what stands behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // No certificate has a length of more than four bytes.
        if bytes.is_empty() || bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}

/// The hash function of a signature; for the two that are broken, SHA-256 takes its place.
fn hash_of(identifier: &[u8]) -> Option<&'static Algorithm> {
    // 1.2.840.113549.1.1.n, RSA; 1.2.840.10045.4.1 and 1.2.840.10045.4.3.n, ECDSA.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    if let Some(kind) = identifier.strip_prefix(RSA) {
        return match kind {
            [4 | 5 | 11] => Some(&SHA256),
            [12] => Some(&SHA384),
            [13] => Some(&SHA512),
            _ => None,
        };
    }
    match identifier.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(&SHA256),
        [3, 3] => Some(&SHA384),
        [3, 4] => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        let head =
            if length < 0x80 { vec![tag, length as u8] } else { [&[tag, 0x82][..], &length.to_be_bytes()].concat() };
        [&head[..], content].concat()
    }

    fn certificate(identifier: &[u8]) -> Vec<u8> {
        let signed = wrapped(SEQUENCE, &[0; 700]);
        let algorithm = wrapped(SEQUENCE, &[&wrapped(OBJECT_IDENTIFIER, identifier)[..], &[5, 0]].concat());
        wrapped(SEQUENCE, &[signed, algorithm, wrapped(3, &[0; 64])].concat())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let rsa = |kind| [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01][..], &[kind]].concat();
        let ecdsa = |kind| [&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3][..], &[kind]].concat();
        for (identifier, length) in [(rsa(5), 32), (rsa(11), 32), (rsa(12), 48), (ecdsa(2), 32), (ecdsa(4), 64)] {
            assert_eq!(tls_server_end_point(&certificate(&identifier)).unwrap().len(), length, "{identifier:?}");
        }
        let sha256 = certificate(&rsa(11));
        assert_eq!(tls_server_end_point(&sha256).unwrap(), digest(&SHA256, &sha256).as_ref());
    }

    #[test]
    fn what_has_no_hash_is_not_bound() {
        let ed25519 = certificate(&[0x2b, 0x65, 0x70]);
        assert_eq!(tls_server_end_point(&ed25519), None);
        let whole = certificate(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2]);
        for length in 0..whole.len() {
            // Whatever is cut off, nothing is read beyond the end.
            let _ = tls_server_end_point(&whole[..length]);
        }
        assert_eq!(tls_server_end_point(&[0x30, 0xff]), None);
    }
}
