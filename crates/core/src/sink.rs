//! What a sink is: it delivers events, and says of each that it could not what would help.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::{BuildContext, BuildError, Event, Problem, TransactionalConfig};

/// Settings of one sink type, as written under `config:`.
pub trait SinkConfig: DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name written after `type:`.
    const TYPE: &'static str;
    /// Checks what the types cannot say; all mistakes at once.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
    /// Builds the sink, inside a tokio runtime. Opens no connection.
    ///
    /// # Errors
    /// [`BuildError`] when a file or a secret that the settings name cannot be used.
    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError>;
    /// How the sink is built instead, if its settings ask for events and cursors that become
    /// durable together.
    fn transactional(&self) -> Option<&dyn TransactionalConfig> {
        None
    }
}

/// Delivers events. Batching, retry, order per lane, and settling are the runtime's.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Delivers events and says for each that was not delivered why.
    ///
    /// Calls overlap up to [`SinkLimits::max_in_flight`]; they are first polled in order, and no
    /// two of them ever hold events of one lane.
    async fn deliver(&self, events: &[Event]) -> Delivery;

    /// How much the runtime may hand over at once.
    fn limits(&self) -> SinkLimits {
        SinkLimits::default()
    }

    /// Says goodbye to the destination after the last delivery, if everything was decided.
    ///
    /// Dropped unfinished when the time for stopping is over.
    async fn close(&self) {}
}

/// How much the runtime hands to a sink at once.
#[derive(Clone, Copy, Debug)]
pub struct SinkLimits {
    /// Events of one call.
    pub max_events: usize,
    /// Bytes of the bodies of one call; a single larger event goes alone.
    pub max_bytes: usize,
    /// Calls at the same time.
    pub max_in_flight: usize,
}

impl Default for SinkLimits {
    fn default() -> Self {
        Self {
            max_events: 1000,
            max_bytes: 1 << 20,
            max_in_flight: 1,
        }
    }
}

/// Why one event was not delivered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Repeating the same bytes may help, not before `after` if the destination said so.
    Retry {
        /// The wait that the destination asked for.
        after: Option<Duration>,
        /// One of a closed set, a metric label.
        reason: &'static str,
    },
    /// These bytes will never be taken.
    Reject {
        /// One of a closed set, a metric label.
        reason: &'static str,
        /// The same for a human.
        why: String,
    },
    /// The destination refuses us: a human must act. Retried slowly meanwhile.
    Denied {
        /// One of a closed set, a metric label.
        reason: &'static str,
        /// What to do, for a human.
        why: String,
    },
    /// Another process took our place: stop, and do not restart.
    Fenced,
}

/// What became of the events of one call: delivered, but for the exceptions.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Position in the call, and why it was not delivered. In ascending order of position.
    pub exceptions: Vec<(usize, Fault)>,
}

impl Delivery {
    /// Everything was delivered.
    pub fn all() -> Self {
        Self::default()
    }

    /// Nothing of `count` events was delivered, for one reason.
    pub fn none(count: usize, fault: Fault) -> Self {
        Self {
            exceptions: (0..count).map(|index| (index, fault.clone())).collect(),
        }
    }
}
