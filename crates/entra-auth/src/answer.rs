//! The token endpoint's good answer.

use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use tapline_core::Secret;

/// Lifetime assumed where the answer names none; short, so that a wrong guess costs little.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(300);

/// What the identity platform granted.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) access_token: Secret,
    pub(crate) lifetime: Duration,
    /// The refresh token that replaces the one used.
    pub(crate) refresh_token: Option<Secret>,
}

impl Granted {
    /// Reads the body of an answer with status 200.
    ///
    /// `expires_on` is not looked at: it is the server's clock, and ours may be off.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(body)?;
        Ok(Self {
            access_token: Secret::new(answer.access_token),
            lifetime: answer.expires_in.unwrap_or(ASSUMED_LIFETIME),
            refresh_token: answer.refresh_token.map(Secret::new),
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(deserialize_with = "not_empty")]
    access_token: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<Duration>,
    refresh_token: Option<String>,
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Err(de::Error::custom("access_token is empty"));
    }
    Ok(text)
}

/// Reads a number (v2) or a number in text (v1) of seconds.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    deserializer.deserialize_any(SecondsVisitor).map(Some)
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("seconds as a number or as text")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Duration, E> {
        Ok(Duration::from_secs(value.max(0).unsigned_abs()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(value.max(0.0)).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Duration, E> {
        value
            .trim()
            .parse()
            .map_err(E::custom)
            .and_then(|seconds| self.visit_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(expires_in: &str) -> Option<u64> {
        let body = format!(r#"{{"token_type":"Bearer",{expires_in}"access_token":"A"}}"#);
        let granted = Granted::parse(body.as_bytes()).ok()?;
        Some(granted.lifetime.as_secs())
    }

    #[test]
    fn lifetimes_of_both_endpoints_are_understood() {
        assert_eq!(lifetime(r#""expires_in":3599,"#), Some(3599));
        assert_eq!(
            lifetime(r#""expires_in":"3599","expires_on":"1","#),
            Some(3599)
        );
        assert_eq!(lifetime(r#""expires_in":-5,"#), Some(0));
        assert_eq!(lifetime(""), Some(ASSUMED_LIFETIME.as_secs()));
        assert_eq!(lifetime(r#""expires_in":"soon","#), None);
    }

    #[test]
    fn an_answer_without_a_token_is_none() {
        for body in ["{}", r#"{"access_token":""}"#, "<html>", "", "[]"] {
            assert!(Granted::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn what_was_granted_is_not_shown() {
        let body = br#"{"access_token":"hunter2","refresh_token":"hunter3"}"#;
        let text = format!("{:?}", Granted::parse(body).expect("granted"));
        assert!(!text.contains("hunter"), "{text}");
    }
}
