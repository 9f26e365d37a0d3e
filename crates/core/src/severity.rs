//! How serious a detection is, in the order that routing compares.

use serde::{Deserialize, Serialize};

/// How serious a detection is; ordered, so that `at_least` filters can compare.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The source names none, or one that nobody knows.
    #[default]
    Unknown,
    /// Telemetry and notices.
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Above high; Defender has none, other sources do.
    Critical,
}

impl Severity {
    /// Reads Defender's word for it, in any case; anything unknown is [`Severity::Unknown`].
    pub fn from_defender(word: &str) -> Self {
        const WORDS: [(&str, Severity); 5] = [
            ("informational", Severity::Informational),
            ("low", Severity::Low),
            ("medium", Severity::Medium),
            ("high", Severity::High),
            ("critical", Severity::Critical),
        ];
        WORDS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word))
            .map_or(Severity::Unknown, |(_, severity)| *severity)
    }

    /// The word used in files, logs, and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Unknown => "unknown",
            Severity::Informational => "informational",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Severity;

    #[test]
    fn words_of_both_api_generations_are_understood_in_any_case() {
        assert_eq!(Severity::from_defender("high"), Severity::High);
        assert_eq!(Severity::from_defender("Medium"), Severity::Medium);
        assert_eq!(Severity::from_defender("UnSpecified"), Severity::Unknown);
        assert!(Severity::Low < Severity::High && Severity::Unknown < Severity::Informational);
    }
}
