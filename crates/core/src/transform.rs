//! What a transform is: a pure function over events.

use serde::de::DeserializeOwned;

use crate::{BuildContext, BuildError, Event, Problem, Rejected, Verdict};

/// Settings of one transform type, as written under `config:`.
pub trait TransformConfig: DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name written after `type:`.
    const TYPE: &'static str;
    /// Checks what the types cannot say; all mistakes at once.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
    /// Builds one instance. Called once per partition of every source that leads here, so what
    /// is costly to make belongs into [`BuildContext::shared`].
    ///
    /// # Errors
    /// [`BuildError`] when a file that the settings name cannot be used.
    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError>;
}

/// Rewrites events in memory. No I/O, no clock, no waiting.
pub trait Transform: Send {
    /// Ends one event in exactly one way: emitted (as one or several), rejected, or discarded.
    fn apply(&mut self, event: Event, out: &mut Output);
}

/// What a transform made of the events it was given.
#[derive(Debug, Default)]
pub struct Output {
    /// Events for the next component, in order.
    pub emitted: Vec<Event>,
    /// Events for the dead letters, as they came in.
    pub rejected: Vec<Rejected>,
    /// How many were filtered on purpose.
    pub discarded: u64,
}

impl Output {
    /// Passes an event on.
    pub fn emit(&mut self, event: Event) {
        self.emitted.push(event);
    }

    /// Gives an event up, with its bytes as they came in.
    pub fn reject(&mut self, event: Event, reason: &'static str, why: impl Into<String>) {
        self.rejected.push(Rejected {
            event,
            reason,
            why: why.into(),
        });
    }

    /// Ends an event on purpose: it counts as delivered.
    pub fn discard(&mut self, event: Event) {
        self.discarded += 1;
        event.settle(Verdict::Delivered);
    }
}
