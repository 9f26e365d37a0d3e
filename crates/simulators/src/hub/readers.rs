//! Who reads which partition, and who must give way.

use super::trouble::HubError;

/// Receivers without an owner level per partition and consumer group.
/// Source: Microsoft's Event Hubs quotas page, seen 2026-02.
const MOST_WITHOUT_EPOCH: usize = 5;

/// One open link of a reader. Numbers are unique within a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reader {
    /// The link's number; `None` for the ghost that a test or a fault puts in.
    pub(crate) number: Option<u64>,
    pub(crate) group: String,
    pub(crate) partition: usize,
    pub(crate) epoch: Option<i64>,
}

/// All open links of readers.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    all: Vec<Reader>,
}

impl Readers {
    /// Lets a reader in, and names the links that must go for it.
    ///
    /// Source: the service's error texts, quoted in issues of Azure's SDKs.
    ///
    /// # Errors
    /// When it is the reader that must go.
    pub(crate) fn enter(&mut self, reader: Reader) -> Result<Vec<u64>, HubError> {
        let same =
            |other: &&Reader| other.group == reader.group && other.partition == reader.partition;
        let highest = self
            .all
            .iter()
            .filter(same)
            .filter_map(|other| other.epoch)
            .max();
        match (reader.epoch, highest) {
            (None, Some(epoch)) => return Err(no_epoch(epoch)),
            (Some(mine), Some(epoch)) if mine < epoch => return Err(too_low(mine, epoch)),
            (None, None) if self.all.iter().filter(same).count() >= MOST_WITHOUT_EPOCH => {
                return Err(too_many());
            }
            _ => {}
        }
        let mut displaced = Vec::new();
        if reader.epoch.is_some() {
            displaced.extend(
                self.all
                    .iter()
                    .filter(same)
                    .filter_map(|other| other.number),
            );
            let (group, partition) = (reader.group.clone(), reader.partition);
            self.all
                .retain(|other| other.group != group || other.partition != partition);
        }
        self.all.push(reader);
        Ok(displaced)
    }

    /// A link is gone.
    pub(crate) fn leave(&mut self, number: u64) {
        self.all.retain(|reader| reader.number != Some(number));
    }

    /// The ghosts are gone.
    pub(crate) fn release(&mut self) {
        self.all.retain(|reader| reader.number.is_some());
    }

    pub(crate) fn of_partition(&self, partition: usize) -> usize {
        let real = |reader: &&Reader| reader.partition == partition && reader.number.is_some();
        self.all.iter().filter(real).count()
    }
}

/// What a link that is stolen is told.
pub(crate) fn stolen(epoch: i64) -> HubError {
    HubError::described(
        "amqp:link:stolen",
        format!(
            "New receiver with higher epoch of '{epoch}' is created hence current receiver is getting disconnected."
        ),
    )
}

fn no_epoch(epoch: i64) -> HubError {
    HubError::described(
        "amqp:link:stolen",
        format!(
            "At least one receiver for the endpoint is created with epoch of '{epoch}', and so non-epoch receiver is not allowed."
        ),
    )
}

fn too_low(mine: i64, epoch: i64) -> HubError {
    HubError::described(
        "amqp:link:stolen",
        format!(
            "Receiver with a higher epoch '{epoch}' already exists. Receiver with epoch {mine} cannot be created."
        ),
    )
}

fn too_many() -> HubError {
    HubError::described(
        "amqp:resource-limit-exceeded",
        "Exceeded the maximum number of allowed receivers per partition in a consumer group which is 5.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(number: u64, epoch: Option<i64>) -> Reader {
        Reader {
            number: Some(number),
            group: "$default".to_owned(),
            partition: 0,
            epoch,
        }
    }

    #[test]
    fn an_owner_displaces_all_that_are_not_above_it() {
        let mut readers = Readers::default();
        assert_eq!(readers.enter(reader(1, None)), Ok(vec![]));
        assert_eq!(readers.enter(reader(2, Some(0))), Ok(vec![1]));
        assert_eq!(readers.enter(reader(3, Some(0))), Ok(vec![2]));
        let refused = |result: Result<_, HubError>| result.unwrap_err().condition;
        assert_eq!(refused(readers.enter(reader(4, None))), "amqp:link:stolen");
        assert_eq!(readers.enter(reader(5, Some(7))), Ok(vec![3]));
        assert_eq!(
            refused(readers.enter(reader(6, Some(6)))),
            "amqp:link:stolen"
        );
        readers.leave(5);
        assert_eq!(readers.enter(reader(7, None)), Ok(vec![]));
    }

    #[test]
    fn the_sixth_reader_without_an_owner_level_is_refused() {
        let mut readers = Readers::default();
        for number in 0..5 {
            assert_eq!(readers.enter(reader(number, None)), Ok(vec![]));
        }
        let refused = readers.enter(reader(9, None)).unwrap_err();
        assert_eq!(refused.condition, "amqp:resource-limit-exceeded");
    }
}
