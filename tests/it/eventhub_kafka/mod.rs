//! Event Hubs over its Kafka endpoint: the real program against a broker that asks for what the
//! service asks for.

mod changes;
pub(crate) mod hub;
mod keys;
mod messages;
mod refusals;
mod replicas;
mod tokens;
