//! Tokens, and what they open.

use super::{NAME, POLICY, Ports};
use crate::tokens::{Audience, Tokens};
use crate::wire::decode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What one token opens, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Of the entity, in lower case; empty for the whole namespace.
    path: String,
    /// Seconds since 1970.
    pub(super) until: i64,
}

impl Claim {
    /// Everything, for ever: what the policy's name and key open over SASL PLAIN.
    pub(super) fn everything() -> Self {
        Self {
            path: String::new(),
            until: i64::MAX,
        }
    }

    /// Whether both are for the same entity, so that the newer one stands for both.
    pub(super) fn same_entity(&self, other: &Self) -> bool {
        self.path == other.path
    }

    /// Whether the claim is for this path, or for something above it.
    pub(super) fn covers(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

/// Why a token is not accepted: the status of the answer, and a sentence.
pub(super) type Denied = (i32, &'static str);

/// Who can say which tokens are good.
#[derive(Debug)]
pub(super) struct Gate<'a> {
    pub(super) key: &'a str,
    pub(super) ports: Ports,
    pub(super) tokens: &'a Tokens,
    /// Seconds since 1970.
    pub(super) now: i64,
}

impl Gate<'_> {
    /// Checks a token for what it is to open.
    ///
    /// Source: Microsoft's page on CBS for Event Hubs; statuses as in Azure's SDKs: 400 malformed, 401 refused, 404 no such entity.
    pub(super) fn admit(&self, kind: &str, token: &str, audience: &str) -> Result<Claim, Denied> {
        let path = self.path_of(audience)?;
        let until = match kind {
            "servicebus.windows.net:sastoken" => self.signature(token, audience)?,
            "jwt" => self.entra(token)?,
            _ => return Err((400, "The token type is not known")),
        };
        Ok(Claim { path, until })
    }

    fn path_of(&self, audience: &str) -> Result<String, Denied> {
        let (host, path) = split(audience).ok_or((400, "The audience is not a URI"))?;
        let (name, port) = host.rsplit_once(':').unwrap_or((&host, ""));
        let ours = |port: u16| {
            let Ports {
                clear,
                tls,
                websocket,
            } = self.ports;
            [clear, tls, websocket].contains(&port)
        };
        let here = matches!(name, "localhost" | "127.0.0.1")
            && (port.is_empty() || port.parse().is_ok_and(ours));
        if !here {
            return Err((401, "The audience is another namespace"));
        }
        match path.split('/').next() {
            None | Some("" | NAME) => Ok(path),
            Some(_) => Err((404, "The messaging entity could not be found")),
        }
    }

    /// When a shared access signature ends.
    fn signature(&self, token: &str, audience: &str) -> Result<i64, Denied> {
        const MALFORMED: Denied = (400, "The token is malformed");
        let fields = token
            .strip_prefix("SharedAccessSignature ")
            .ok_or(MALFORMED)?;
        let field = |name: &str| {
            let mut pairs = fields.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|pair| pair.0 == name)
                .map(|pair| pair.1)
                .ok_or(MALFORMED)
        };
        let (resource, until) = (field("sr")?, field("se")?);
        let signature = STANDARD
            .decode(decode(field("sig")?))
            .map_err(|_| MALFORMED)?;
        let policy = decode(field("skn")?);
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes())
            .expect("a key of any length is good");
        mac.update(format!("{resource}\n{until}").as_bytes());
        if policy != POLICY || mac.verify_slice(&signature).is_err() {
            return Err((401, "InvalidSignature: The token has an invalid signature."));
        }
        let until = until.parse().map_err(|_| MALFORMED)?;
        if until <= self.now {
            return Err((401, "ExpiredToken: The token is expired."));
        }
        let above = |upper: (String, String), lower: (String, String)| {
            let claim = Claim {
                path: upper.1,
                until,
            };
            upper.0 == lower.0 && claim.covers(&lower.1)
        };
        let scoped = split(&decode(resource))
            .zip(split(audience))
            .is_some_and(|(upper, lower)| above(upper, lower));
        if scoped {
            Ok(until)
        } else {
            Err((
                401,
                "InvalidAudience: The authorization header contains a token for another entity.",
            ))
        }
    }

    fn entra(&self, token: &str) -> Result<i64, Denied> {
        match self.tokens.admit_text(token, Audience::EventHubs) {
            Ok(left) => Ok(self
                .now
                .saturating_add(i64::try_from(left.as_secs()).unwrap_or(i64::MAX))),
            Err(_) => Err((
                401,
                "The token is not good for https://eventhubs.azure.net/",
            )),
        }
    }
}

/// Host and path of a URI, both in lower case, the path without slashes at its ends.
pub(super) fn split(uri: &str) -> Option<(String, String)> {
    let (_, rest) = uri.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((host.to_lowercase(), path.trim_matches('/').to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "c2VjcmV0";

    fn token(resource: &str, until: i64, policy: &str, key: &str) -> String {
        let resource = resource.replace(':', "%3A").replace('/', "%2F");
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{resource}\n{until}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let signature = signature
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        format!("SharedAccessSignature sr={resource}&sig={signature}&se={until}&skn={policy}")
    }

    fn check(token: &str, audience: &str, expected: Result<&str, i32>) {
        let tokens = Tokens::default();
        let gate = Gate {
            key: KEY,
            ports: Ports {
                clear: 5672,
                tls: 5671,
                websocket: 443,
            },
            tokens: &tokens,
            now: 1_000,
        };
        let admitted = gate.admit("servicebus.windows.net:sastoken", token, audience);
        let seen = admitted
            .as_ref()
            .map(|claim| claim.path.as_str())
            .map_err(|denied| denied.0);
        assert_eq!(seen, expected, "{token} for {audience}");
    }

    #[test]
    fn a_signature_opens_its_entity_and_what_is_below_until_it_ends() {
        let hub = "sb://localhost:5672/defender";
        let below = "sb://localhost:5672/defender/consumergroups/$Default";
        check(&token(hub, 2_000, POLICY, KEY), hub, Ok("defender"));
        check(
            &token(hub, 2_000, POLICY, KEY),
            below,
            Ok("defender/consumergroups/$default"),
        );
        check(
            &token("sb://localhost:5672/", 2_000, POLICY, KEY),
            hub,
            Ok("defender"),
        );
        check(&token(below, 2_000, POLICY, KEY), hub, Err(401));
        check(
            &token("sb://localhost:5672/defend", 2_000, POLICY, KEY),
            hub,
            Err(401),
        );
        check(&token(hub, 1_000, POLICY, KEY), hub, Err(401));
        check(&token(hub, 2_000, "send", KEY), hub, Err(401));
        check(&token(hub, 2_000, POLICY, "b3RoZXI="), hub, Err(401));
        check("SharedAccessSignature sr=x&se=9", hub, Err(400));
        check("nothing", hub, Err(400));
    }

    #[test]
    fn an_audience_must_be_of_this_namespace_and_exist() {
        for (audience, expected) in [
            ("sb://localhost:5673/defender", Err(401)),
            ("sb://contoso.servicebus.windows.net/defender", Err(401)),
            ("sb://localhost:5672/other", Err(404)),
            ("defender", Err(400)),
        ] {
            check(&token(audience, 2_000, POLICY, KEY), audience, expected);
        }
    }

    #[test]
    fn a_claim_covers_what_stands_below_its_path() {
        let claim = |path: &str| Claim {
            path: path.to_owned(),
            until: 0,
        };
        assert!(claim("").covers("defender/x"));
        assert!(claim("defender").covers("defender/x"));
        assert!(!claim("defender").covers("defender2/x"));
        assert!(!claim("defender/x").covers("defender"));
    }
}
