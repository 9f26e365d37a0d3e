//! A bounded queue on disk in front of one sink, so that a destination that is away does not stop
//! the others.
//!
//! To the pipeline it is two components: a sink, which settles an event as soon as it is safely
//! on disk ([`Spool::sink`]), and a source, which reads the queue and feeds the real sink
//! ([`Spool::source`]). Retry, order, dead letters, and the checkpoint of what was delivered are
//! those of any other source and sink.
//!
//! Guarantees: an event is settled after `fdatasync`; a process that is killed, a torn write, a
//! full disk, and a changed byte cost no event but the one that the changed byte is in, and that
//! is counted and said. Order is kept. Opening looks into the newest file only (at most 16 MiB).

mod event;
mod feed;
mod intake;
mod queue;
mod settings;
mod spool;

pub use settings::SpoolSettings;
pub use spool::Spool;
