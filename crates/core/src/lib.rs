//! What an event, a batch, a verdict, and a component are.
//!
//! Every plugin of Tapline depends on this crate and on no other of ours. It knows nothing of
//! YAML, HTTP, Kafka, files, or Microsoft; how components are run stands in `tapline-runtime`.
//!
//! ```
//! use tapline_core::{Event, Kind, Metadata, Severity, Verdict};
//!
//! let mut meta = Metadata::new(Kind::new("graph.alert"), "contoso", "da1_1", "2026-01-02T03:04:05Z");
//! meta.severity = Severity::High;
//! let event = Event::new(br#"{"id":"da1_1"}"#.as_slice(), meta);
//! assert_eq!(event.meta().key(), "contoso:graph.alert:da1_1");
//! event.settle(Verdict::Delivered);
//! ```

mod batch;
mod build;
mod chain;
mod cursors;
mod event;
pub mod metrics;
mod network;
pub mod private;
mod secret;
mod settle;
mod severity;
mod sink;
mod source;
mod tables;
mod transaction;
mod transform;

pub use batch::{Batch, Checkpoint, Cursor, Rejected};
pub use build::{BuildContext, BuildError, ComponentKind, ComponentName, Problem, Shared, Span};
pub use bytestring::ByteString as Text;
pub use chain::chain;
pub use cursors::{CursorForm, CursorWords};
pub use event::{Event, Kind, Labels, Metadata, Origin};
pub use network::{NetworkSettings, with_system_certificates};
pub use secret::{Secret, SecretError, SecretSource};
pub use settle::{Outcome, Ticket, Verdict};
pub use severity::Severity;
pub use sink::{Delivery, Fault, Sink, SinkConfig, SinkLimits};
pub use source::{
    Control, Health, OpenError, Partition, Source, SourceConfig, SourceContext, SourceError,
    SourceHost, Stopped, StreamIdentity,
};
pub use tables::{hunting_table, hunting_tables};
pub use transaction::{
    Advance, Advanced, Durable, Fenced, PartitionKey, Reach, Tenure, TransactionalConfig,
    TransactionalSink,
};
pub use transform::{Output, Transform, TransformConfig};
