//! The named faults, and the profiles made of them.

mod named;

pub(crate) use named::Named;
use named::TABLE;
use std::str::FromStr;
use std::time::Duration;

/// Makes a third of all Graph versions updates, since those in ties (about every seventh) never are.
const UPDATES: f64 = 0.39;

/// What goes wrong, and how often.
///
/// `none`; `mild` and `harsh`: one fault per server about every five seconds, and what is always so at Microsoft's;
/// or named faults with a probability each, such as `throttled=0.1,late=0.05`. [`Faults::names`] lists the names.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    chances: [f64; TABLE.len()],
    /// Whether one fault per server comes about every five seconds, besides the chances.
    pub(crate) scheduled: bool,
    /// The longest wait that a Retry-After names, and the longest that a body dribbles.
    pub(crate) longest_wait: Duration,
    /// How late the latest version can be.
    pub(crate) latest: Duration,
    /// How many incidents at most have an `$expand` that always fails.
    pub(crate) poisoned_at_most: u64,
}

impl Faults {
    /// Nothing goes wrong, and no request rate is enforced.
    pub fn none() -> Self {
        Self {
            chances: [0.0; TABLE.len()],
            scheduled: false,
            longest_wait: Duration::from_secs(2),
            latest: Duration::from_secs(10),
            poisoned_at_most: u64::MAX,
        }
    }

    /// One fault per server about every five seconds, each over within two; a third of the Graph versions are updates, 5 % come
    /// up to ten seconds late, pages are clamped, 120 rows share a time now and then, nextLink is missing.
    pub fn mild() -> Self {
        let standing = [
            (Named::Clamp, 1.0),
            (Named::NoNextLink, 1.0),
            (Named::Late, 0.05),
            (Named::Update, UPDATES),
            (Named::Tie, 0.000_5),
        ];
        Self {
            scheduled: true,
            ..Self::none()
        }
        .with(&standing)
    }

    /// As [`Faults::mild`], and waits up to 30 s, lateness up to five minutes, `$orderby` ignored, one incident that cannot be
    /// expanded, 150 requests a minute; of the hub also stolen links, expired tokens and offsets, refused attempts to read, repeated
    /// records, offsets that are text, messages of a megabyte, empty partitions, and other forms of messages.
    pub fn harsh() -> Self {
        let worse = [
            (Named::IgnoreOrderBy, 1.0),
            (Named::RateLimit, 1.0),
            (Named::ExpandFails, 1.0),
            (Named::HubExpired, 0.002),
            (Named::HubRepeat, 0.03),
            (Named::HubForm, 0.3),
            (Named::HubAttachRefused, 0.1),
            (Named::HubOffset, 0.02),
            (Named::HubLarge, 0.002),
            (Named::HubEmpty, 0.2),
        ];
        let mut faults = Self::mild().with(&worse);
        faults.longest_wait = Duration::from_secs(30);
        faults.latest = Duration::from_secs(300);
        faults.poisoned_at_most = 1;
        faults
    }

    /// Reads `none`, `mild`, `harsh`, or `name=probability,..`.
    ///
    /// # Errors
    /// [`FaultsError`] names the word that is not known, and those that are.
    pub fn parse(text: &str) -> Result<Self, FaultsError> {
        match text.trim() {
            "none" => Ok(Self::none()),
            "mild" => Ok(Self::mild()),
            "harsh" => Ok(Self::harsh()),
            named => named.split(',').try_fold(Self::none(), Self::and_named),
        }
    }

    /// Every fault that can be named, with what its probability means.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        TABLE.iter().map(|(_, name, meaning)| (*name, *meaning))
    }

    /// Whether what is scheduled may be worse than mild.
    pub(crate) fn is_harsh(&self) -> bool {
        self.longest_wait > Self::none().longest_wait
    }

    /// The probability of one fault, 0 to 1.
    pub(crate) fn chance(&self, fault: Named) -> f64 {
        self.chances[fault as usize]
    }

    fn with(mut self, chances: &[(Named, f64)]) -> Self {
        for (fault, chance) in chances {
            self.chances[*fault as usize] = *chance;
        }
        self
    }

    fn and_named(self, item: &str) -> Result<Self, FaultsError> {
        let (name, chance) = item.split_once('=').unwrap_or((item, ""));
        let name = name.trim();
        let fault = TABLE
            .iter()
            .find(|row| row.1 == name)
            .map(|row| row.0)
            .ok_or_else(|| FaultsError::unknown(name))?;
        match chance.trim().parse::<f64>() {
            Ok(chance) if (0.0..=1.0).contains(&chance) => Ok(self.with(&[(fault, chance)])),
            _ => Err(FaultsError::Probability {
                name: name.to_owned(),
                text: chance.trim().to_owned(),
            }),
        }
    }
}

impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Self, FaultsError> {
        Self::parse(text)
    }
}

/// Why a description of faults cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// No fault and no profile has this name.
    #[error(
        "unknown fault `{name}`; known are none, mild, harsh, or a list of NAME=PROBABILITY with {known}"
    )]
    Unknown {
        /// The word as written.
        name: String,
        /// The names that exist, separated by commas.
        known: String,
    },
    /// The probability is missing, or not a number from 0 to 1.
    #[error("fault `{name}` needs a probability from 0 to 1, not `{text}`")]
    Probability {
        /// The fault.
        name: String,
        /// What stands where the number should.
        text: String,
    },
}

impl FaultsError {
    fn unknown(name: &str) -> Self {
        let known = Faults::names()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(", ");
        Self::Unknown {
            name: name.to_owned(),
            known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_fault_stands_at_its_own_place_in_the_table() {
        for (place, (fault, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*fault as usize, place, "{name}");
        }
    }

    #[test]
    fn named_faults_are_read_with_their_probabilities() {
        let faults = Faults::parse("throttled=0.1, late=1").unwrap();
        assert_eq!(faults.chance(Named::Throttled), 0.1);
        assert_eq!(faults.chance(Named::Late), 1.0);
        assert_eq!(faults.chance(Named::Drop), 0.0);
    }

    #[test]
    fn an_unknown_word_is_named_together_with_the_known_ones() {
        let text = Faults::parse("mildly").unwrap_err().to_string();
        assert!(
            text.contains("`mildly`") && text.contains("harsh") && text.contains("slow_body"),
            "{text}"
        );
    }

    #[test]
    fn a_probability_must_be_a_number_from_zero_to_one() {
        for bad in ["drop", "drop=", "drop=2", "drop=x", "drop=NaN", "drop=-0.1"] {
            assert!(
                matches!(Faults::parse(bad), Err(FaultsError::Probability { .. })),
                "{bad}"
            );
        }
    }
}
