//! How messages are told apart on a byte stream.

use std::io::Write;

use serde::Deserialize;

/// How messages are told apart on a byte stream.
///
/// Source: RFC 6587, sections 3.4.1 and 3.4.2.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Framing {
    /// A trailer ends each message.
    Newline,
    /// A count of bytes precedes each message.
    OctetCounting,
}

/// What ends a message under newline framing.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trailer {
    #[default]
    Lf,
    Crlf,
    Nul,
}

impl Trailer {
    fn bytes(self) -> &'static [u8] {
        match self {
            Trailer::Lf => b"\n",
            Trailer::Crlf => b"\r\n",
            Trailer::Nul => b"\0",
        }
    }
}

/// Why these bytes can never be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(
        "the message has {bytes} bytes with its header, the receiver takes {max}; lower max_bytes of the normalizer, or raise max_message_bytes here if the receiver takes more"
    )]
    TooLong { bytes: usize, max: usize },
    #[error(
        "the message holds a line break or NUL at byte {at}, which would make two messages of it; use framing: octet_counting, or let the normalizer escape it"
    )]
    Break { at: usize },
}

impl FrameError {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            FrameError::TooLong { .. } => "too_long",
            FrameError::Break { .. } => "line_break",
        }
    }
}

/// Checks that a message is no longer than the receiver takes.
///
/// The receivers that were measured cut a longer one and read its tail as a second, false message
/// (rsyslog 8.2302, syslog-ng 3.38).
///
/// # Errors
/// [`FrameError::TooLong`].
pub(crate) fn check_length(message: &[u8], max: usize) -> Result<(), FrameError> {
    if message.len() > max {
        let bytes = message.len();
        return Err(FrameError::TooLong { bytes, max });
    }
    Ok(())
}

/// Appends one message to a byte stream.
///
/// The count of octet counting is in bytes and has no leading zero.
///
/// # Errors
/// [`FrameError::Break`] if newline framing would make two messages of it: it holds LF, CR, or
/// NUL, since any of them may be what a receiver splits at. Then nothing is appended.
pub(crate) fn append(
    message: &[u8],
    framing: Framing,
    trailer: Trailer,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    match framing {
        Framing::OctetCounting => {
            write!(out, "{} ", message.len()).expect("writing to memory does not fail");
            out.extend_from_slice(message);
        }
        Framing::Newline => {
            if let Some(at) = memchr::memchr3(b'\n', b'\r', 0, message) {
                return Err(FrameError::Break { at });
            }
            out.extend_from_slice(message);
            out.extend_from_slice(trailer.bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8], framing: Framing, trailer: Trailer) -> Result<Vec<u8>, FrameError> {
        let mut out = b"before".to_vec();
        let result = append(message, framing, trailer, &mut out);
        result.map(|()| out.split_off(6))
    }

    #[test]
    fn each_framing_looks_as_its_rfc_says() {
        let counted = framed("ä\n".as_bytes(), Framing::OctetCounting, Trailer::Lf);
        assert_eq!(counted.unwrap(), "3 ä\n".as_bytes());
        for (trailer, expected) in [
            (Trailer::Lf, &b"<1>x\n"[..]),
            (Trailer::Crlf, b"<1>x\r\n"),
            (Trailer::Nul, b"<1>x\0"),
        ] {
            assert_eq!(
                framed(b"<1>x", Framing::Newline, trailer).unwrap(),
                expected
            );
        }
    }

    #[test]
    fn a_message_that_would_become_two_is_refused_and_leaves_no_byte() {
        for (message, at) in [(&b"a\n<0>b"[..], 1), (b"ab\r", 2), (b"\0", 0)] {
            for trailer in [Trailer::Lf, Trailer::Crlf, Trailer::Nul] {
                let mut out = b"before".to_vec();
                let error = append(message, Framing::Newline, trailer, &mut out);
                assert_eq!(error, Err(FrameError::Break { at }));
                assert_eq!(out, b"before");
            }
        }
    }

    #[test]
    fn the_limit_itself_is_not_too_long() {
        assert_eq!(check_length(&[b'x'; 480], 480), Ok(()));
        let (bytes, max) = (481, 480);
        let expected = Err(FrameError::TooLong { bytes, max });
        assert_eq!(check_length(&[b'x'; 481], 480), expected);
    }

    /// What a receiver does with octet counting.
    fn read_counted(mut stream: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while !stream.is_empty() {
            let space = stream.iter().position(|b| *b == b' ').unwrap();
            let count = std::str::from_utf8(&stream[..space]).unwrap();
            let (message, rest) = stream[space + 1..].split_at(count.parse().unwrap());
            messages.push(message.to_vec());
            stream = rest;
        }
        messages
    }

    proptest! {
        #[test]
        fn octet_counting_gives_back_any_bytes(messages in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut stream = Vec::new();
            for message in &messages {
                append(message, Framing::OctetCounting, Trailer::Lf, &mut stream).unwrap();
            }
            prop_assert_eq!(read_counted(&stream), messages);
        }

        #[test]
        fn newline_framing_gives_back_what_it_took(messages in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut stream = Vec::new();
            let taken = |message: &&Vec<u8>| append(message, Framing::Newline, Trailer::Lf, &mut stream).is_ok();
            let expected: Vec<_> = messages.iter().filter(taken).cloned().collect();
            let read: Vec<_> = stream.split_inclusive(|b| *b == b'\n').map(|line| line[..line.len() - 1].to_vec()).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
