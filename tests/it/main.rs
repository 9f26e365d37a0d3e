//! End-to-end tests: the `tapline` program against real services, one module per promise.

mod backfill;
mod bad_input;
mod cli;
mod dead_letters;
mod eventhub_amqp;
mod eventhub_judge;
mod eventhub_kafka;
mod exactly_once;
mod full_disk;
mod harsh;
mod https;
mod kafka_access;
mod pipeline;
mod promises;
mod reload;
mod restart;
mod spool;
mod state;
mod syslog;
mod table_lines;
mod torture;
