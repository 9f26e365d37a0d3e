//! The token endpoint's good answer.

use std::time::Duration;

use jiff::Timestamp;
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
    /// Reads the body of an answer with status 200, given at `now` by the server's clock.
    ///
    /// `expires_on` counts only where nothing else is said: App Service gives no `expires_in`.
    pub(crate) fn parse(body: &[u8], now: Timestamp) -> Result<Self, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(body)?;
        let until = |expires_on: i64| {
            let left = expires_on.saturating_sub(now.as_second());
            Duration::from_secs(u64::try_from(left).unwrap_or_default())
        };
        let lifetime = answer.expires_in.or_else(|| answer.expires_on().map(until));
        Ok(Self {
            access_token: Secret::new(answer.access_token),
            lifetime: lifetime.unwrap_or(ASSUMED_LIFETIME),
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
    expires_on: Option<serde_json::Value>,
    refresh_token: Option<String>,
}

impl Answer {
    /// Seconds since 1970, as a number or as text; anything else says nothing.
    fn expires_on(&self) -> Option<i64> {
        let value = self.expires_on.as_ref()?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }
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
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let granted = Granted::parse(body.as_bytes(), now).ok()?;
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
        assert_eq!(lifetime(r#""expires_on":"1086400","#), Some(86400));
        assert_eq!(lifetime(r#""expires_on":1000060,"#), Some(60));
        assert_eq!(lifetime(r#""expires_on":"5","#), Some(0));
        let assumed = Some(ASSUMED_LIFETIME.as_secs());
        assert_eq!(lifetime(r#""expires_on":"9/1/2027 4:00:00","#), assumed);
    }

    #[test]
    fn an_answer_without_a_token_is_none() {
        for body in ["{}", r#"{"access_token":""}"#, "<html>", "", "[]"] {
            let granted = Granted::parse(body.as_bytes(), Timestamp::now());
            assert!(granted.is_err(), "{body}");
        }
    }

    #[test]
    fn what_was_granted_is_not_shown() {
        let body = br#"{"access_token":"hunter2","refresh_token":"hunter3"}"#;
        let granted = Granted::parse(body, Timestamp::now()).expect("granted");
        let text = format!("{granted:?}");
        assert!(!text.contains("hunter"), "{text}");
    }
}
