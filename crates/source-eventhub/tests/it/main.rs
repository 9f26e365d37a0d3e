//! The source against librdkafka's mock of a cluster, which has neither SASL nor TLS.

mod contract;
mod group;
mod reading;
mod rig;
