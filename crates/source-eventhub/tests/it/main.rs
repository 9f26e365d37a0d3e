//! The source against librdkafka's mock of a cluster, which has neither SASL nor TLS, and against
//! the simulated hub over AMQP.

mod amqp;
mod contract;
mod group;
mod reading;
mod repeats;
mod rig;
