//! What is shown over AMQP: a shared access signature, or a token of the identity platform.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use tapline_core::Secret;
use tapline_entra_auth::Token;

/// Source: the CBS types of Event Hubs, "AMQP 1.0 in Azure Event Hubs", seen 2026.
const SIGNATURE: &str = "servicebus.windows.net:sastoken";
const ISSUED: &str = "jwt";
/// How long a signature is good; a new one is shown much earlier.
const SIGNATURE_SECS: i64 = 3600;
/// Signatures are cheap, and a key that was rotated is noticed the earlier.
const LOOK_AT_SIGNATURES: Duration = Duration::from_secs(240);
/// The provider renews in the background when it is asked, so it is asked well before the end.
const LOOK_AT_ISSUED: Duration = Duration::from_secs(30);
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

/// A token, and what there is to know about it.
pub(crate) struct Claim {
    /// The service's word for this kind of token.
    pub(crate) kind: &'static str,
    pub(crate) token: Secret,
    /// When to look for a newer one.
    pub(crate) look_again: Duration,
    /// Of the identity platform.
    pub(crate) issued: Option<Token>,
}

impl Claim {
    /// Made of a policy's key.
    pub(crate) fn signed(resource: &str, policy: &str, key: &Secret) -> Self {
        let until = Timestamp::now().as_second() + SIGNATURE_SECS;
        Self::ready_made(signature(resource, policy, key, until))
    }

    /// A signature that somebody made.
    pub(crate) fn ready_made(token: Secret) -> Self {
        let left = end(token.expose()).map_or(LOOK_AT_SIGNATURES, |end| {
            let left = end - Timestamp::now().as_second();
            Duration::from_secs(u64::try_from(left).unwrap_or(0))
        });
        Self {
            kind: SIGNATURE,
            token,
            look_again: (left / 2).clamp(SHORTEST_LOOK, LOOK_AT_SIGNATURES),
            issued: None,
        }
    }

    /// A token of the identity platform.
    pub(crate) fn of_platform(token: Token) -> Self {
        let left = token.expires().duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        Self {
            kind: ISSUED,
            token: Secret::new(token.expose()),
            look_again: (left / 8).clamp(SHORTEST_LOOK, LOOK_AT_ISSUED),
            issued: Some(token),
        }
    }
}

/// When a signature ends, in seconds since 1970.
fn end(token: &str) -> Option<i64> {
    let fields = token.split_once(' ')?.1;
    let mut pairs = fields.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == "se")?.1.parse().ok()
}

/// Signs that the holder may use a resource until a time, in seconds since 1970.
///
/// Source: "Authenticate access to Event Hubs with shared access signatures", seen 2026. The key
/// is used as the text it is, not as the bytes that it encodes.
fn signature(resource: &str, policy: &str, key: &Secret, until: i64) -> Secret {
    let resource = encoded(resource);
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("a key may have any length");
    mac.update(format!("{resource}\n{until}").as_bytes());
    let signature = encoded(&STANDARD.encode(mac.finalize().into_bytes()));
    let policy = encoded(policy);
    Secret::new(format!(
        "SharedAccessSignature sr={resource}&sig={signature}&se={until}&skn={policy}"
    ))
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature was made with `openssl dgst -sha256 -hmac c2VjcmV0 -binary | base64`.
    #[test]
    fn a_signature_is_the_one_that_other_tools_make() {
        let key = Secret::new("c2VjcmV0");
        let made = signature("sb://c.example/defender", "listen", &key, 1_700_000_000);
        assert_eq!(
            made.expose(),
            "SharedAccessSignature sr=sb%3A%2F%2Fc.example%2Fdefender&sig=%2Fk2cnMGg9JKSDM6cTOQfmT%2BUZp3ZROrFWFVIykt%2BHYM%3D&se=1700000000&skn=listen"
        );
    }

    #[test]
    fn a_token_is_looked_at_again_in_the_middle_of_what_is_left_of_it() {
        let key = Secret::new("c2VjcmV0");
        let now = Timestamp::now().as_second();
        for (left, least, most) in [(3600, 240, 240), (100, 48, 50), (1, 1, 1), (-5, 1, 1)] {
            let token = signature("sb://c.example/defender", "listen", &key, now + left);
            let look = Claim::ready_made(token).look_again.as_secs();
            assert!((least..=most).contains(&look), "{left} s left: {look}");
        }
        let odd = Claim::ready_made(Secret::new("nothing"));
        assert!(odd.look_again > SHORTEST_LOOK);
    }
}
