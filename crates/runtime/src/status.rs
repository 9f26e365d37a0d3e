//! What a person may see of a running pipeline: written by the runtime, read by the admin HTTP.
//!
//! The runtime makes one [`StatusBoard`], hands a clone to the admin server, and calls
//! [`StatusBoard::pipeline`], [`StatusBoard::component`], and [`StatusBoard::partition`] whenever
//! something changes. What goes wrong is said with [`StatusBoard::trouble`] by whoever notices, and
//! taken back by the same; a component that works is shown as degraded as long as there is any.
//! Ready means: the pipeline's state is [`State::Running`]. Tokens and destinations play no part
//! in that, so that an outage outside never makes a process not ready.

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
    /// The last reload, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<ReloadOutcome>,
    /// By component id.
    pub components: BTreeMap<Arc<str>, ComponentStatus>,
}

/// How a reload ended.
#[derive(Clone, Debug, Serialize)]
pub struct ReloadOutcome {
    /// When.
    pub at: Timestamp,
    /// Whether the changed file runs now.
    pub applied: bool,
    /// What changed, or what is wrong; one line each.
    pub lines: Vec<String>,
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
    /// Why it is degraded, for a human. Never a secret or an event body.
    pub detail: Option<String>,
    /// Events handed over and not yet settled.
    pub in_flight_events: u64,
    /// When its checkpoint last moved.
    pub checkpoint_at: Option<Timestamp>,
    /// How often it was read again because something was lost.
    pub rewinds: u64,
    /// How much of it is read, if it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// How far the reading of a partition is that ends.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Progress {
    /// From 0 to 1.
    pub done: f64,
    /// When it is over at the pace so far.
    pub expected_end: Option<Timestamp>,
}

/// What may go wrong with a component, independently of each other.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Trouble {
    /// The component itself: it is being built anew, or its destination takes nothing.
    Itself,
    /// Its checkpoints cannot be kept.
    Checkpoints,
    /// Its dead letters cannot be kept.
    DeadLetters,
    /// One of its partitions cannot be read.
    Partition(Arc<str>),
}

/// The one board of a process. Cheap to clone; a clone shows the same board.
#[derive(Clone, Debug)]
pub struct StatusBoard(Arc<Mutex<Board>>);

#[derive(Debug)]
struct Board {
    status: Status,
    by_component: BTreeMap<Arc<str>, Condition>,
}

/// What a component would be without its troubles, and these.
#[derive(Debug, Default)]
struct Condition {
    state: State,
    troubles: BTreeMap<Trouble, String>,
}

impl StatusBoard {
    /// A board without components, in the state [`State::Starting`].
    pub fn new(pipeline: impl Into<Arc<str>>) -> Self {
        let status = Status {
            pipeline: pipeline.into(),
            state: State::Starting,
            started_at: Timestamp::now(),
            reload: None,
            components: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(Board {
            status,
            by_component: BTreeMap::new(),
        })))
    }

    /// Says what the pipeline as a whole is doing.
    pub fn pipeline(&self, state: State) {
        self.lock().status.state = state;
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
        let mut board = self.lock();
        let id = Arc::clone(&name.id);
        board.by_component.insert(id, Condition::default());
        board.status.components.insert(Arc::clone(&name.id), status);
    }

    /// As [`StatusBoard::add`], but a component of that kind and type that is there already keeps
    /// what was said of it.
    pub fn keep_or_add(&self, name: &ComponentName, inputs: &[Arc<str>]) {
        let is_there = {
            let mut board = self.lock();
            let known = board.status.components.get_mut(&name.id);
            let known = known.filter(|known| {
                (known.kind, known.type_name) == (name.kind.as_str(), name.type_name)
            });
            known.is_some_and(|known| {
                known.inputs = inputs.to_vec();
                true
            })
        };
        if !is_there {
            self.add(name, inputs);
        }
    }

    /// Takes a component off the board.
    pub fn remove(&self, id: &str) {
        let mut board = self.lock();
        board.status.components.remove(id);
        board.by_component.remove(id);
    }

    /// Says how the last wish for another pipeline ended.
    pub fn reload(&self, outcome: ReloadOutcome) {
        self.lock().status.reload = Some(outcome);
    }

    /// Says what a component is doing; nothing happens if it is not on the board.
    pub fn component(&self, id: &str, state: State) {
        self.lock().change(id, |condition| condition.state = state);
    }

    /// Says what is wrong with a component, or with `None` that this no longer is.
    pub fn trouble(&self, id: &str, trouble: Trouble, detail: Option<String>) {
        let mut board = self.lock();
        if let Trouble::Partition(name) = &trouble {
            board.partition(id, name, |partition| partition.detail.clone_from(&detail));
        }
        board.change(id, |Condition { troubles, .. }| match detail {
            Some(detail) => {
                troubles.insert(trouble, detail);
            }
            None => {
                troubles.remove(&trouble);
            }
        });
    }

    /// Takes back what was said of all its partitions: whoever reads them begins anew.
    pub fn forget_partitions(&self, id: &str) {
        let mut board = self.lock();
        board.change(id, |Condition { troubles, .. }| {
            troubles.retain(|trouble, _| !matches!(trouble, Trouble::Partition(_)));
        });
        if let Some(component) = board.status.components.get_mut(id) {
            let partitions = component.partitions.values_mut();
            partitions.for_each(|partition| partition.detail = None);
        }
    }

    /// Changes what is shown of a partition; the first change puts it on the board.
    pub fn partition(&self, id: &str, partition: &str, change: impl FnOnce(&mut PartitionStatus)) {
        self.lock().partition(id, partition, change);
    }

    /// Everything on the board now.
    pub fn snapshot(&self) -> Status {
        self.lock().status.clone()
    }

    /// What the pipeline as a whole is doing.
    pub fn state(&self) -> State {
        self.lock().status.state
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        // No change panics half-way, so a panic elsewhere leaves the board whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn change(&mut self, id: &str, change: impl FnOnce(&mut Condition)) {
        let shown = self.status.components.get_mut(id);
        let condition = self.by_component.get_mut(id);
        if let (Some(shown), Some(condition)) = (shown, condition) {
            change(condition);
            shown.state = condition.shown();
            shown.detail = condition.detail();
        }
    }

    fn partition(&mut self, id: &str, name: &str, change: impl FnOnce(&mut PartitionStatus)) {
        let Some(component) = self.status.components.get_mut(id) else {
            return;
        };
        let partition = match component.partitions.get_mut(name) {
            Some(known) => known,
            None => component.partitions.entry(name.into()).or_default(),
        };
        change(partition);
        partition.state = match (partition.state, &partition.detail) {
            (State::Running, Some(_)) => State::Degraded,
            (State::Degraded, None) => State::Running,
            (state, _) => state,
        };
    }
}

impl Condition {
    fn shown(&self) -> State {
        match self.state {
            State::Running if !self.troubles.is_empty() => State::Degraded,
            state => state,
        }
    }

    /// The first trouble, and how many more there are.
    fn detail(&self) -> Option<String> {
        let (trouble, text) = self.troubles.first_key_value()?;
        let mut detail = match trouble {
            Trouble::Partition(name) => format!("{name}: {text}"),
            _ => text.clone(),
        };
        match self.troubles.len() - 1 {
            0 => {}
            more => detail.push_str(&format!(" (and {more} more)")),
        }
        Some(detail)
    }
}

#[cfg(test)]
mod tests {
    use tapline_core::ComponentKind;

    use super::*;

    fn board() -> StatusBoard {
        let board = StatusBoard::new("tapline");
        let name = ComponentName {
            kind: ComponentKind::Source,
            type_name: "defender",
            id: "alerts".into(),
        };
        board.add(&name, &[]);
        board
    }

    #[test]
    fn a_component_is_degraded_until_its_last_trouble_is_over() {
        let board = board();
        board.component("alerts", State::Running);
        let check = |state: State, detail: Option<&str>| {
            let status = board.snapshot();
            let shown = &status.components["alerts"];
            assert_eq!((shown.state, shown.detail.as_deref()), (state, detail));
        };
        let partition = |name: &str| Trouble::Partition(name.into());
        let said = |text: &str| Some(text.to_owned());
        board.trouble("alerts", partition("fabrikam"), said("refused"));
        check(State::Degraded, Some("fabrikam: refused"));
        board.trouble("alerts", partition("contoso"), said("throttled"));
        check(State::Degraded, Some("contoso: throttled (and 1 more)"));
        board.trouble("alerts", Trouble::Checkpoints, said("disk full"));
        check(State::Degraded, Some("disk full (and 2 more)"));
        board.trouble("alerts", Trouble::Checkpoints, None);
        board.trouble("alerts", partition("contoso"), None);
        check(State::Degraded, Some("fabrikam: refused"));
        board.component("alerts", State::Stopped);
        check(State::Stopped, Some("fabrikam: refused"));
        board.component("alerts", State::Running);
        board.trouble("alerts", partition("fabrikam"), None);
        check(State::Running, None);
    }

    #[test]
    fn a_partition_that_moves_is_shown_as_degraded_while_it_cannot_be_read() {
        let board = board();
        let trouble = Trouble::Partition("contoso".into());
        let running = |partition: &mut PartitionStatus| partition.state = State::Running;
        let check = |state: State| {
            let status = board.snapshot();
            assert_eq!(
                status.components["alerts"].partitions["contoso"].state,
                state
            );
        };
        board.partition("alerts", "contoso", running);
        board.trouble("alerts", trouble.clone(), Some("refused".to_owned()));
        board.partition("alerts", "contoso", running);
        check(State::Degraded);
        board.trouble("alerts", trouble, None);
        check(State::Running);
    }

    #[test]
    fn what_was_said_last_is_on_the_board() {
        let board = board();
        board.component("alerts", State::Running);
        board.trouble("alerts", Trouble::Itself, Some("throttled".to_owned()));
        board.component("nobody", State::Stopped);
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
