//! What a delivery decided, and what it did not.

use tapline_core::Fault;

/// What became of the events of a call.
#[derive(Debug)]
pub(crate) struct Taken<E> {
    /// The destination has them.
    pub(crate) delivered: Vec<E>,
    /// The destination never will: event, reason, and why.
    pub(crate) rejected: Vec<(E, &'static str, String)>,
    /// How many will be repeated, by reason.
    pub(crate) retried: Vec<(&'static str, u64)>,
    /// Why the destination refuses us, if it does.
    pub(crate) denied: Option<(&'static str, String)>,
    /// Whether nothing of the call was decided, so that the sink rests.
    pub(crate) outage: bool,
    /// Whether another process took our place.
    pub(crate) fenced: bool,
}

impl<E> Taken<E> {
    pub(super) fn new() -> Self {
        Self {
            delivered: Vec::new(),
            rejected: Vec::new(),
            retried: Vec::new(),
            denied: None,
            outage: false,
            fenced: false,
        }
    }

    pub(super) fn note(&mut self, fault: &Fault) {
        let reason = match fault {
            Fault::Retry { reason, .. } | Fault::Reject { reason, .. } => *reason,
            Fault::Denied { reason, why } => {
                self.denied.get_or_insert_with(|| (*reason, why.clone()));
                *reason
            }
            Fault::Fenced => {
                self.fenced = true;
                "fenced"
            }
        };
        match self.retried.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.retried.push((reason, 1)),
        }
    }
}
