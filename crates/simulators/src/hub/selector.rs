//! Where a receiver wants to start, as its selector says.

/// The first message that a receiver wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// The oldest message there is.
    Beginning,
    /// What comes after the link was made.
    Latest,
    Offset {
        text: String,
        inclusive: bool,
    },
    Sequence {
        number: i64,
        inclusive: bool,
    },
    /// Milliseconds since 1970.
    Enqueued {
        ms: i64,
        inclusive: bool,
    },
}

impl Start {
    /// Reads a selector such as `amqp.annotation.x-opt-offset > '123'`; spaces do not matter.
    ///
    /// Source: the selectors that Microsoft's clients write, seen in azure-eventhub 5.15 and azure_messaging_eventhubs 0.16.
    pub(crate) fn parse(selector: &str) -> Option<Self> {
        let rest = selector.trim().strip_prefix("amqp.annotation.")?;
        let (name, rest) = rest.split_once('>')?;
        let (inclusive, rest) = match rest.strip_prefix('=') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let value = rest.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        match name.trim() {
            "x-opt-offset" => Some(Self::of_offset(value, inclusive)),
            "x-opt-sequence-number" => Some(Self::Sequence {
                number: value.parse().ok()?,
                inclusive,
            }),
            "x-opt-enqueued-time" => Some(Self::Enqueued {
                ms: value.parse().ok()?,
                inclusive,
            }),
            _ => None,
        }
    }

    fn of_offset(value: &str, inclusive: bool) -> Self {
        match value {
            "-1" => Self::Beginning,
            "@latest" => Self::Latest,
            text => Self::Offset {
                text: text.to_owned(),
                inclusive,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_however_they_are_spaced() {
        let offset = |text: &str, inclusive| Start::Offset {
            text: text.to_owned(),
            inclusive,
        };
        for (selector, expected) in [
            ("amqp.annotation.x-opt-offset > '-1'", Start::Beginning),
            ("amqp.annotation.x-opt-offset >'-1'", Start::Beginning),
            ("amqp.annotation.x-opt-offset > '@latest'", Start::Latest),
            ("amqp.annotation.x-opt-offset > '512'", offset("512", false)),
            ("amqp.annotation.x-opt-offset >= 'a:7'", offset("a:7", true)),
            (
                "amqp.annotation.x-opt-sequence-number > '-1'",
                Start::Sequence {
                    number: -1,
                    inclusive: false,
                },
            ),
            (
                "amqp.annotation.x-opt-enqueued-time>='1767225600000'",
                Start::Enqueued {
                    ms: 1_767_225_600_000,
                    inclusive: true,
                },
            ),
        ] {
            assert_eq!(Start::parse(selector), Some(expected), "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for selector in [
            "",
            "amqp.annotation.x-opt-offset = '1'",
            "amqp.annotation.x-opt-sequence-number > 'first'",
            "amqp.annotation.x-opt-partition-key > '1'",
            "amqp.annotation.x-opt-offset > 1",
        ] {
            assert_eq!(Start::parse(selector), None, "{selector}");
        }
    }
}
