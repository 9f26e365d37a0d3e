//! Delivers events to Apache Kafka: acknowledged by all replicas, idempotent, in order per key.
//!
//! One sink owns one librdkafka producer. Events of a call are enqueued in order and confirmed
//! by delivery reports, counted down per call: no future, task, or copy of its value per event.
//! It does not retry: librdkafka repeats in order for as long as it takes, and what comes back
//! from it as failed is mapped to a verdict that the runtime acts on.
//!
//! ```yaml
//! type: kafka
//! inputs: [ocsf]
//! config:
//!   brokers: ["localhost:9092"]
//!   topic: "defender.{kind}"
//! ```

mod calls;
mod config;
mod exactly_once;
mod faults;
mod produce;
mod record;
mod setting;
mod settings;
mod sink;
mod topic;
mod troubles;

pub use config::KafkaConfig;
