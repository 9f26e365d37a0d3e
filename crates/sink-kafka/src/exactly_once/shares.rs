//! To which partition of the control topic a partition of a source belongs.

use tapline_core::PartitionKey;

/// Partitions of the control topic; changing it would hand partitions to two owners.
pub(super) const SHARES: i32 = 64;

/// The share of a partition: FNV-1a of 64 bits over component, a zero byte, and partition, modulo
/// [`SHARES`]. Every version on every machine has to come to the same.
pub(super) fn share_of(key: &PartitionKey) -> i32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = key.component.bytes();
    let bytes = bytes.chain([0]).chain(key.partition.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    i32::try_from(hash % SHARES as u64).expect("a remainder of 64")
}

#[cfg(test)]
mod tests {
    use tapline_core::Reach;

    use super::*;

    fn share(component: &str, partition: &str) -> i32 {
        share_of(&PartitionKey {
            component: component.to_owned(),
            partition: partition.to_owned(),
            reach: Reach::Everybody,
        })
    }

    #[test]
    fn shares_are_the_same_on_every_machine_and_in_every_version() {
        assert_eq!(share("", ""), 31);
        assert_eq!(share("alerts", "contoso/graph_alerts"), 36);
        assert_eq!(share("hunting", "defender/0"), 24);
        assert_eq!(share("hunting", "defender/1"), 11);
    }

    #[test]
    fn many_partitions_are_spread_evenly() {
        let mut counts = [0; SHARES as usize];
        for tenant in 0..6400 {
            let share = share("alerts", &format!("tenant-{tenant}/graph_alerts"));
            counts[usize::try_from(share).expect("positive")] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..200).contains(count)),
            "{counts:?}"
        );
    }
}
