//! What a person may see of a running pipeline: written by the runtime, read by the admin HTTP.
//!
//! The runtime makes one [`StatusBoard`], hands a clone to the admin server, and calls
//! [`StatusBoard::pipeline`], [`StatusBoard::component`], and [`StatusBoard::partition`] whenever
//! something changes. Ready means: the pipeline's state is [`State::Running`]. Tokens and
//! destinations play no part in that, so that an outage outside never makes a process not ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tapline_core::ComponentName;

/// What a pipeline or a component is doing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Being built.
    #[default]
    Starting,
    /// Working.
    Running,
    /// Working, but something outside does not answer or refuses; `detail` says what.
    Degraded,
    /// Finishing what is in flight after the stop signal.
    Draining,
    /// Ended.
    Stopped,
}

impl State {
    /// The word used in `/api/v1/status` and `/health/ready`.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Degraded => "degraded",
            State::Draining => "draining",
            State::Stopped => "stopped",
        }
    }
}

/// A snapshot of everything on the board.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// What the pipeline as a whole is doing.
    pub state: State,
    /// When the process began to build it.
    pub started_at: Timestamp,
    /// By component id.
    pub components: BTreeMap<Arc<str>, ComponentStatus>,
}

/// One component.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentStatus {
    /// Source, transform, or sink.
    pub kind: &'static str,
    /// The name written after `type:`.
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// Ids of the components whose events come in.
    pub inputs: Vec<Arc<str>>,
    /// What it is doing.
    pub state: State,
    /// Why, for a human, where the state alone does not say it. Never a secret or an event body.
    pub detail: Option<String>,
    /// By name; sources only.
    pub partitions: BTreeMap<Arc<str>, PartitionStatus>,
}

/// One partition of a source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PartitionStatus {
    /// What it is doing.
    pub state: State,
    /// Events handed over and not yet settled.
    pub in_flight_events: u64,
    /// When its checkpoint last moved.
    pub checkpoint_at: Option<Timestamp>,
    /// How often it was read again because something was lost.
    pub rewinds: u64,
}

/// The one board of a process. Cheap to clone; a clone shows the same board.
#[derive(Clone, Debug)]
pub struct StatusBoard(Arc<Mutex<Status>>);

impl StatusBoard {
    /// A board without components, in the state [`State::Starting`].
    pub fn new(pipeline: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Mutex::new(Status {
            pipeline: pipeline.into(),
            state: State::Starting,
            started_at: Timestamp::now(),
            components: BTreeMap::new(),
        })))
    }

    /// Says what the pipeline as a whole is doing.
    pub fn pipeline(&self, state: State) {
        self.lock().state = state;
    }

    /// Puts a component on the board.
    pub fn add(&self, name: &ComponentName, inputs: &[Arc<str>]) {
        let status = ComponentStatus {
            kind: name.kind.as_str(),
            type_name: name.type_name,
            inputs: inputs.to_vec(),
            state: State::Starting,
            detail: None,
            partitions: BTreeMap::new(),
        };
        self.lock().components.insert(Arc::clone(&name.id), status);
    }

    /// Says what a component is doing, and why; nothing happens if it is not on the board.
    pub fn component(&self, id: &str, state: State, detail: Option<String>) {
        if let Some(component) = self.lock().components.get_mut(id) {
            component.state = state;
            component.detail = detail;
        }
    }

    /// Changes what is shown of a partition; the first change puts it on the board.
    pub fn partition(&self, id: &str, partition: &str, change: impl FnOnce(&mut PartitionStatus)) {
        let mut status = self.lock();
        let Some(component) = status.components.get_mut(id) else {
            return;
        };
        match component.partitions.get_mut(partition) {
            Some(known) => change(known),
            None => change(
                component
                    .partitions
                    .entry(Arc::from(partition))
                    .or_default(),
            ),
        }
    }

    /// Everything on the board now.
    pub fn snapshot(&self) -> Status {
        self.lock().clone()
    }

    /// What the pipeline as a whole is doing.
    pub fn state(&self) -> State {
        self.lock().state
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // Every change is a single assignment, so a panic elsewhere leaves the board whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tapline_core::ComponentKind;

    use super::*;

    #[test]
    fn what_was_said_last_is_on_the_board() {
        let board = StatusBoard::new("tapline");
        let name = ComponentName {
            kind: ComponentKind::Source,
            type_name: "defender",
            id: "alerts".into(),
        };
        board.add(&name, &[]);
        board.component("alerts", State::Degraded, Some("throttled".to_owned()));
        board.component("nobody", State::Stopped, None);
        board.partition("alerts", "contoso", |partition| {
            partition.in_flight_events = 3
        });
        board.pipeline(State::Running);

        let status = serde_json::to_value(board.snapshot()).expect("serializes");
        assert_eq!(status["state"], "running");
        assert_eq!(status["components"]["alerts"]["state"], "degraded");
        assert_eq!(status["components"]["alerts"]["detail"], "throttled");
        assert_eq!(
            status["components"]["alerts"]["partitions"]["contoso"]["in_flight_events"],
            3
        );
        assert!(status["components"].get("nobody").is_none());
    }
}
