//! Where a receiver listens: `udp://host:port`, `tcp://..`, `tls://..`.

use std::fmt;
use std::str::FromStr;

/// What carries the messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    const ALL: [(&'static str, Transport); 3] = [
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
    ];

    fn as_str(self) -> &'static str {
        let entry = Self::ALL.iter().find(|(_, transport)| *transport == self);
        entry.map_or("", |(word, _)| word)
    }
}

/// One receiver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) transport: Transport,
    /// A name or an address; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected udp://, tcp://, or tls:// with host:port, got {text:?}");
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        let known = Transport::ALL.iter().find(|(word, _)| *word == scheme);
        let (_, transport) = *known.ok_or_else(expected)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(expected)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/@[]?#".contains(c);
        if host.is_empty() || host.contains(odd) || (bracketed.is_none() && host.contains(':')) {
            return Err(expected());
        }
        match port.parse() {
            Ok(port @ 1..) => Ok(Self {
                transport,
                host: host.to_owned(),
                port,
            }),
            _ => Err(format!("port must be 1 to 65535, got {port:?}")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port) = (self.transport.as_str(), self.port);
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{port}", self.host)
        } else {
            write!(f, "{scheme}://{}:{port}", self.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_shown_the_same() {
        for text in [
            "udp://siem.example:514",
            "tcp://10.0.0.1:601",
            "tls://[::1]:6514",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "siem.example:514",
            "http://siem.example:514",
            "tcp://siem.example",
            "tcp://:514",
            "tcp://::1:514",
            "tcp://siem.example:0",
            "tcp://siem.example:70000",
            "tcp://user@siem.example:514",
            "tcp://siem.example/path:514",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
