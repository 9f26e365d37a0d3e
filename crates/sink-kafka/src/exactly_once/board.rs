//! What is ours now, told by the group's callbacks and asked for by everybody else.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tapline_core::metrics::Gauge;
use tapline_core::{PartitionKey, Reach, Tenure};
use tokio::sync::watch;

use super::shares::share_of;

/// Our shares, and whether another process has our place.
pub(super) struct Board {
    standing: Mutex<Standing>,
    changes: watch::Sender<u64>,
    fenced: watch::Sender<bool>,
    trouble: watch::Sender<Option<String>>,
    owned: Gauge,
}

#[derive(Default)]
struct Standing {
    /// Since when each share is ours.
    shares: BTreeMap<i32, Tenure>,
    /// The name that the group took us in under; none if it gave us up.
    name: Option<String>,
    /// Grows with every change; tenures are numbered by it.
    changes: u64,
}

/// The tenure of what our folder alone has: it ends with the process.
const OF_FOLDER: Tenure = Tenure(0);

impl Board {
    pub(super) fn new(owned: Gauge) -> Self {
        Self {
            standing: Mutex::default(),
            changes: watch::Sender::new(0),
            fenced: watch::Sender::new(false),
            trouble: watch::Sender::new(Some("joining the group of its replicas".to_owned())),
            owned,
        }
    }

    /// These shares are ours, and no others. What was ours before keeps its tenure.
    pub(super) fn assigned(&self, shares: impl IntoIterator<Item = i32>) {
        self.change(|standing, tenure| {
            let before = std::mem::take(&mut standing.shares);
            for share in shares {
                let since = before.get(&share).copied().unwrap_or(tenure);
                standing.shares.insert(share, since);
            }
        });
    }

    /// The group took us in. Under another name than before, what was ours was somebody else's
    /// meanwhile.
    pub(super) fn taken_in(&self, name: String) {
        self.change(|standing, _| {
            if standing.name.as_ref() != Some(&name) {
                standing.shares.clear();
            }
            standing.name = Some(name);
        });
    }

    /// The group gave us up: it has to take us in anew, and what it says of who has our place
    /// meanwhile may be said of ourselves.
    pub(super) fn given_up(&self) {
        self.standing().name = None;
    }

    pub(super) fn is_member(&self) -> bool {
        self.standing().name.is_some()
    }

    /// Whether that is the name that we were taken in under.
    pub(super) fn is_known_as(&self, name: &str) -> bool {
        self.standing().name.as_deref() == Some(name)
    }

    /// These shares are no longer ours.
    pub(super) fn revoked(&self, shares: &[i32]) {
        self.change(|standing, _| standing.shares.retain(|share, _| !shares.contains(share)));
    }

    /// Another process has our place, for good.
    pub(super) fn fence(&self) {
        self.change(|standing, _| standing.shares.clear());
        self.fenced.send_replace(true);
    }

    fn change(&self, change: impl FnOnce(&mut Standing, Tenure)) {
        let count = {
            let mut standing = self.standing();
            standing.changes += 1;
            let tenure = Tenure(standing.changes);
            change(&mut standing, tenure);
            self.owned.set(standing.shares.len() as f64);
            standing.changes
        };
        self.changes.send_replace(count);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn is_fenced(&self) -> bool {
        *self.fenced.borrow()
    }

    /// Completes when another process has our place. Cancel-safe.
    pub(super) async fn fenced(&self) {
        let mut fenced = self.fenced.subscribe();
        // The sender is ours, so that it is never gone before.
        let _told = fenced.wait_for(|fenced| *fenced).await;
    }

    pub(super) fn tenure(&self, key: &PartitionKey) -> Option<Tenure> {
        if self.is_fenced() {
            return None;
        }
        match key.reach {
            Reach::Folder => Some(OF_FOLDER),
            Reach::Everybody => self.standing().shares.get(&share_of(key)).copied(),
        }
    }

    /// One of our shares, if there is any.
    pub(super) fn any_share(&self) -> Option<i32> {
        self.standing().shares.keys().next().copied()
    }

    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Says what holds us up; nothing if nothing does.
    pub(super) fn tell(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|told| {
            let is_news = *told != trouble;
            if is_news {
                match &trouble {
                    Some(why) => tracing::warn!(why, "exactly-once is held up"),
                    None => tracing::info!("exactly-once goes on"),
                }
            }
            *told = trouble;
            is_news
        });
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing panics while it is held.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(Gauge::new("g", "g").expect("legal"))
    }

    fn key(reach: Reach) -> PartitionKey {
        PartitionKey {
            component: "alerts".to_owned(),
            partition: "t/a".to_owned(),
            reach,
        }
    }

    #[test]
    fn a_share_that_comes_back_comes_with_another_tenure() {
        let board = board();
        let key = key(Reach::Everybody);
        let share = share_of(&key);
        assert_eq!(board.tenure(&key), None);
        board.assigned([share]);
        let first = board.tenure(&key).expect("ours");
        board.assigned([share, (share + 1) % 64]);
        assert_eq!(board.tenure(&key), Some(first), "kept throughout");
        board.revoked(&[share]);
        assert_eq!(board.tenure(&key), None);
        board.assigned([share]);
        assert_ne!(board.tenure(&key), Some(first));
    }

    #[test]
    fn under_another_name_everything_comes_with_another_tenure() {
        let board = board();
        let key = key(Reach::Everybody);
        let share = share_of(&key);
        board.taken_in("one".to_owned());
        board.assigned([share]);
        let first = board.tenure(&key).expect("ours");
        board.taken_in("one".to_owned());
        board.assigned([share]);
        assert_eq!(
            board.tenure(&key),
            Some(first),
            "the same member throughout"
        );
        assert!(board.is_known_as("one") && !board.is_known_as(""));
        board.taken_in("two".to_owned());
        assert_eq!(board.tenure(&key), None);
        board.assigned([share]);
        assert_ne!(board.tenure(&key), Some(first));
    }

    #[test]
    fn who_is_fenced_has_nothing() {
        let board = board();
        let own = key(Reach::Folder);
        assert!(board.tenure(&own).is_some());
        board.assigned(0..64);
        board.fence();
        assert_eq!(board.tenure(&own), None);
        assert_eq!(board.tenure(&key(Reach::Everybody)), None);
    }
}
