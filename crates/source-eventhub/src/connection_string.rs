//! Connection strings, as the Azure portal hands them out.
//!
//! Source: "Get an Event Hubs connection string", seen August 2026, and the parsers of
//! Microsoft's own clients.

use tapline_core::Secret;

/// What a connection string says.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionString {
    /// Host of the namespace.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) proof: Proof,
    /// The hub, if the string is one of a hub.
    pub(crate) hub: Option<String>,
    /// Microsoft's emulator, or a simulator: clear TCP.
    pub(crate) is_emulator: bool,
    /// The string itself, which the Kafka endpoint takes as password.
    pub(crate) whole: Secret,
}

/// How the right to read is proven.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// Name and key of a shared access policy.
    Key { policy: String, key: Secret },
    /// A ready-made token.
    Token(Secret),
}

/// What is wrong with a connection string; never says its secret parts.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ConnectionStringError {
    #[error("the connection string has no {0}")]
    Missing(&'static str),
    #[error("the connection string names {0} twice")]
    Repeated(&'static str),
    #[error("{0} of the connection string is empty")]
    Empty(&'static str),
    #[error("part {0} of the connection string is not NAME=VALUE")]
    NotAPair(usize),
    #[error("part {0} of the connection string has a name that nobody knows; expected {list}", list = NAMES.join(", "))]
    Unknown(usize),
    #[error(
        "Endpoint of the connection string is not an address such as sb://NAMESPACE.servicebus.windows.net/"
    )]
    Endpoint,
    #[error(
        "the connection string has SharedAccessSignature beside SharedAccessKeyName or SharedAccessKey; expected either"
    )]
    TwoProofs,
    #[error(
        "SharedAccessKey of the connection string holds %: it must stand there as the portal shows it, without escapes"
    )]
    Key,
    #[error("UseDevelopmentEmulator of the connection string is neither true nor false")]
    Emulator,
    #[error(
        "UseDevelopmentEmulator=true speaks clear TCP, which is for this machine only; {0} is another"
    )]
    EmulatorElsewhere(String),
}

use ConnectionStringError as Error;

const ENDPOINT: usize = 0;
const POLICY: usize = 1;
const KEY: usize = 2;
const SIGNATURE: usize = 3;
const HUB: usize = 4;
const EMULATOR: usize = 5;
const NAMES: [&str; 6] = [
    "Endpoint",
    "SharedAccessKeyName",
    "SharedAccessKey",
    "SharedAccessSignature",
    "EntityPath",
    "UseDevelopmentEmulator",
];

impl ConnectionString {
    /// Reads a connection string.
    ///
    /// # Errors
    /// [`ConnectionStringError`], which names the part.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let parts = parts(text)?;
        let (host, port) = endpoint(parts[ENDPOINT].ok_or(Error::Missing(NAMES[ENDPOINT]))?)?;
        let is_emulator = emulator(parts[EMULATOR])?;
        if is_emulator && !is_loopback(&host) {
            return Err(Error::EmulatorElsewhere(host));
        }
        Ok(Self {
            host,
            port,
            proof: proof(&parts)?,
            hub: parts[HUB].map(str::to_owned),
            is_emulator,
            whole: Secret::new(text.trim()),
        })
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn parts(text: &str) -> Result<[Option<&str>; NAMES.len()], Error> {
    let mut found = [None; NAMES.len()];
    let filled = text.trim().split(';').enumerate();
    for (index, part) in filled.filter(|(_, part)| !part.trim().is_empty()) {
        let (name, value) = part.split_once('=').ok_or(Error::NotAPair(index + 1))?;
        let known = NAMES
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name.trim()));
        let known = known.ok_or(Error::Unknown(index + 1))?;
        if value.trim().is_empty() {
            return Err(Error::Empty(NAMES[known]));
        }
        if found[known].replace(value.trim()).is_some() {
            return Err(Error::Repeated(NAMES[known]));
        }
    }
    Ok(found)
}

fn endpoint(address: &str) -> Result<(String, Option<u16>), Error> {
    let (scheme, rest) = address.split_once("://").ok_or(Error::Endpoint)?;
    let known = ["sb", "amqps", "amqp", "https", "http"];
    if !known.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return Err(Error::Endpoint);
    }
    host_and_port(rest.trim_end_matches('/')).ok_or(Error::Endpoint)
}

/// Reads `host` or `host:port`.
pub(crate) fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        // An address of IPv6 without a port ends with its bracket.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (text, None),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '[' | ']' | ':');
    let is_host = !host.is_empty() && host.chars().all(legal);
    (is_host && port != Some(0)).then(|| (host.to_owned(), port))
}

fn emulator(value: Option<&str>) -> Result<bool, Error> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::Emulator),
    }
}

fn proof(parts: &[Option<&str>; NAMES.len()]) -> Result<Proof, Error> {
    match (parts[POLICY], parts[KEY], parts[SIGNATURE]) {
        (None, None, Some(token)) => Ok(Proof::Token(Secret::new(token))),
        (_, _, Some(_)) => Err(Error::TwoProofs),
        (Some(policy), Some(key), None) => {
            // Keys are base64, which has no such character.
            if key.contains('%') {
                return Err(Error::Key);
            }
            Ok(Proof::Key {
                policy: policy.to_owned(),
                key: Secret::new(key),
            })
        }
        (None, _, None) => Err(Error::Missing(NAMES[POLICY])),
        (Some(_), None, None) => Err(Error::Missing(NAMES[KEY])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=listen;SharedAccessKey=c2VjcmV0a2V5PQ==";

    fn check(text: &str, expected: Error) {
        assert_eq!(
            ConnectionString::parse(text).expect_err(text),
            expected,
            "{text}"
        );
    }

    #[test]
    fn what_the_portal_hands_out_is_understood() {
        let read =
            ConnectionString::parse(&format!(" {GOOD};EntityPath=defender;\n")).expect("good");
        assert_eq!(
            (read.host.as_str(), read.port),
            ("contoso.servicebus.windows.net", None)
        );
        assert_eq!(read.hub.as_deref(), Some("defender"));
        assert!(matches!(read.proof, Proof::Key { policy, .. } if policy == "listen"));

        let token = "endpoint=sb://c.example;sharedaccesssignature=SharedAccessSignature sr=a&sig=b%3D&se=1&skn=k";
        let read = ConnectionString::parse(token).expect("good");
        assert!(matches!(read.proof, Proof::Token(_)));

        let local = "Endpoint=sb://localhost:5672;SharedAccessKeyName=any;SharedAccessKey=any;UseDevelopmentEmulator=true";
        let read = ConnectionString::parse(local).expect("good");
        assert_eq!((read.is_emulator, read.port), (true, Some(5672)));
    }

    #[test]
    fn a_mistake_names_the_part() {
        check("", Error::Missing("Endpoint"));
        check(
            "Endpoint=sb://c.example",
            Error::Missing("SharedAccessKeyName"),
        );
        check(
            "Endpoint=sb://c.example;SharedAccessKeyName=k",
            Error::Missing("SharedAccessKey"),
        );
        check(
            "Endpoint=sb://c.example;SharedAccessKey=a2V5",
            Error::Missing("SharedAccessKeyName"),
        );
        check(
            &format!("{GOOD};endpoint=sb://c.example"),
            Error::Repeated("Endpoint"),
        );
        check(&format!("{GOOD};EntityPath="), Error::Empty("EntityPath"));
        check(&format!("{GOOD};nonsense"), Error::NotAPair(4));
        check(&format!("{GOOD};Entity=x"), Error::Unknown(4));
        check(
            &format!("{GOOD};UseDevelopmentEmulator=yes"),
            Error::Emulator,
        );
        check(
            &format!("{GOOD};UseDevelopmentEmulator=true"),
            Error::EmulatorElsewhere("contoso.servicebus.windows.net".to_owned()),
        );
        check(&format!("{GOOD};SharedAccessSignature=x"), Error::TwoProofs);
        check(&GOOD.replace("==", "%3D%3D"), Error::Key);
        for endpoint in [
            "contoso.servicebus.windows.net",
            "ftp://c.example",
            "sb://",
            "sb://a b",
            "sb://c:0",
        ] {
            let text = GOOD.replace("sb://contoso.servicebus.windows.net/", endpoint);
            check(&text, Error::Endpoint);
        }
    }

    #[test]
    fn an_error_never_shows_the_key() {
        let text = GOOD.replace("==", "%3D%3D") + ";x";
        let error = ConnectionString::parse(&text).expect_err("wrong");
        assert!(!error.to_string().contains("c2Vj"));
    }

    #[test]
    fn whatever_is_wrong_with_a_string_its_key_is_not_told() {
        for (number, bytes) in tapline_testkit::variants(GOOD.as_bytes(), 50_000) {
            let text = String::from_utf8_lossy(&bytes);
            match ConnectionString::parse(&text) {
                Ok(read) => assert!(!read.host.is_empty(), "{number}: {text}"),
                Err(error) => {
                    let told = error.to_string();
                    assert!(!told.contains("c2VjcmV0"), "{number}: {text}: {told}");
                }
            }
        }
    }
}
