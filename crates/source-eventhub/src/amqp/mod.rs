//! Hubs over AMQP 1.0, on every tier, with or without a WebSocket around it.
//!
//! `Amqp` reads several hubs; each `HubReader` has one connection at a time, a `Session`; each
//! partition has a `Seat` that outlives connections, and on each a `Link`.

mod body;
mod claims;
mod connect;
mod faults;
mod hub;
mod intake;
mod link;
mod manage;
mod ownership;
mod seat;
mod session;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fe2o3_amqp::connection::ConnectionHandle;
use tapline_core::metrics::{ComponentMetrics, ERRORS, SOURCE_PARTITIONS, SOURCE_RECONNECTS};
use tapline_core::{
    BuildContext, BuildError, Labels, Source, SourceConfig, SourceContext, SourceError,
};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use self::connect::Dialer;
use self::faults::REASONS;
use self::hub::HubReader;
use self::ownership::{Ownership, TakesAll};
use crate::access::Access;
use crate::config::EventHubConfig;
use crate::repeats::Memory;
use crate::start::StartAt;
use crate::tables::TableChoice;

/// Longest wait for a connection to be made, a token to be taken, or a question to be answered.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection of a hub; each link has a session of its own on it.
type Shared = Arc<Mutex<ConnectionHandle<()>>>;

/// Reads hubs over AMQP.
pub(crate) struct Amqp {
    hubs: Vec<String>,
    reading: Arc<Reading>,
}

/// What reading a hub takes.
struct Reading {
    access: Access,
    dialer: Dialer,
    ownership: Box<dyn Ownership>,
    group: String,
    owner_level: i64,
    pause: Option<Duration>,
    tables: TableChoice,
    start_at: StartAt,
    labels: Labels,
    /// None if repeats are not dropped.
    memory: Option<Arc<Memory>>,
    metrics: ComponentMetrics,
}

impl Amqp {
    /// Resolves secrets; opens no connection.
    ///
    /// # Errors
    /// [`BuildError`] when one of them cannot be used.
    pub(crate) fn build(config: &EventHubConfig, cx: &BuildContext) -> Result<Self, BuildError> {
        Self::sharing(config, cx, Box::new(TakesAll))
    }

    /// Reads what `ownership` says of the hubs.
    fn sharing(
        config: &EventHubConfig,
        cx: &BuildContext,
        ownership: Box<dyn Ownership>,
    ) -> Result<Self, BuildError> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(BuildError::new(problem.path, problem.message));
        }
        let mut cx = cx.clone();
        config.override_network(&mut cx);
        for reason in REASONS {
            cx.metrics.counter(&ERRORS, &["receiving", reason]);
            cx.metrics.counter(&SOURCE_RECONNECTS, &[reason]);
        }
        cx.metrics.gauge(&SOURCE_PARTITIONS, &[]);
        let access = Access::build(config, &cx)?;
        Ok(Self {
            hubs: access.hubs.clone(),
            reading: Arc::new(Reading {
                dialer: Dialer::new(config, &access, &cx.network),
                access,
                ownership,
                group: config.consumer_group.clone(),
                owner_level: config.owner_level,
                pause: config.poll_interval_secs.map(Duration::from_secs),
                tables: config.tables.clone(),
                start_at: config.start_at,
                labels: Arc::new(config.labels.clone()),
                memory: config.memory(),
                metrics: cx.metrics.clone(),
            }),
        })
    }
}

#[async_trait]
impl Source for Amqp {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let mut hubs = JoinSet::new();
        for hub in &self.hubs {
            hubs.spawn(HubReader::new(hub, Arc::clone(&self.reading), cx.clone()).run());
        }
        while let Some(ended) = hubs.join_next().await {
            ended.map_err(|error| SourceError(error.to_string()))??;
        }
        Ok(())
    }
}
