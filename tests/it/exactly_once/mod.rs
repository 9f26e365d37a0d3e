//! With `exactly_once` every version is in Kafka once, for whoever reads what is committed.

mod beside;
mod copies;
mod crashes;
mod hubs;
mod outages;
mod replicas;
mod scene;
mod unfit;
