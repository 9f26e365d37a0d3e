//! Promises of a running pipeline, with fake sources and sinks.

mod fakes;
mod losses;
mod outages;
mod reloads;
mod replays;
mod sources;
mod state;
mod stops;
mod traces;
mod transactions;
