//! Event Hubs over its Kafka endpoint: the real program against a broker that asks for what the
//! service asks for.

mod hub;
mod keys;
mod replicas;
mod tokens;
