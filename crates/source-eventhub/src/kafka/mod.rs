//! The Kafka endpoint of a namespace, by its consumer groups.
//!
//! The group decides which partitions this process reads. Of each, what is settled is committed
//! to the group at most once a second, when it is taken away, and when we stop.

mod commits;
mod context;
mod division;
mod faults;
mod group;
mod opening;
mod owned;
mod position;
mod reader;
pub(crate) mod settings;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use tapline_core::metrics::{
    ComponentMetrics, ERRORS, SOURCE_PARTITIONS, SOURCE_RECONNECTS, SOURCE_WAIT_SECONDS,
};
use tapline_core::{
    BuildContext, BuildError, Labels, OpenError, Source, SourceConfig, SourceContext, SourceError,
    chain,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::context::{Board, Context};
use self::faults::{ASSIGNMENT_LOST, DISCONNECTED, REASONS};
use self::group::Group;
use self::reader::KafkaConsumer;
use self::watch::poll;
use crate::access::{Access, Credential};
use crate::config::{EventHubConfig, Scalar};
use crate::health::ConnectionHealth;
use crate::repeats::Memory;
use crate::start::StartAt;
use crate::tables::TableChoice;

/// Commits, metrics, and a look at the errors. The service takes four commits a second of a
/// partition ("Event Hubs quotas", seen 2026).
const TICK: Duration = Duration::from_secs(1);
/// Before a connection is made anew; doubles up to the longest, unless one held for longer.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Reads hubs over the Kafka endpoint.
pub(crate) struct Kafka {
    shared: Arc<Shared>,
    librdkafka: BTreeMap<String, Scalar>,
    address: Option<String>,
    extra_ca: Option<PathBuf>,
}

/// What every part of a session needs.
struct Shared {
    access: Arc<Access>,
    group: String,
    tables: TableChoice,
    start_at: StartAt,
    labels: Labels,
    /// None if repeats are not dropped.
    memory: Option<Arc<Memory>>,
    metrics: ComponentMetrics,
    /// Whether partitions were taken over before; one that has no position yet is new then.
    has_begun: AtomicBool,
}

/// How a session ended.
enum Ended {
    Stopped,
    /// A new one may fare better: why, as a metric label.
    Failed(&'static str),
}

impl Kafka {
    /// Resolves secrets; opens no connection.
    ///
    /// # Errors
    /// [`BuildError`] when one of them cannot be used.
    pub(crate) fn build(config: &EventHubConfig, cx: &BuildContext) -> Result<Self, BuildError> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(BuildError::new(problem.path, problem.message));
        }
        let mut cx = cx.clone();
        config.override_network(&mut cx);
        for reason in REASONS {
            cx.metrics.counter(&ERRORS, &["receiving", reason]);
        }
        for reason in REASONS.into_iter().chain([DISCONNECTED, ASSIGNMENT_LOST]) {
            cx.metrics.counter(&SOURCE_RECONNECTS, &[reason]);
        }
        cx.metrics.gauge(&SOURCE_PARTITIONS, &[]);
        cx.metrics
            .seconds(&SOURCE_WAIT_SECONDS, &["namespace", "throttled"]);
        Ok(Self {
            shared: Arc::new(Shared {
                access: Arc::new(Access::build(config, &cx)?),
                group: config.consumer_group.clone(),
                tables: config.tables.clone(),
                start_at: config.start_at,
                labels: Arc::new(config.labels.clone()),
                memory: config.memory(),
                metrics: cx.metrics.clone(),
                has_begun: AtomicBool::new(false),
            }),
            librdkafka: config.librdkafka.clone(),
            address: config.endpoints.kafka.clone(),
            extra_ca: cx.network.extra_ca.clone(),
        })
    }

    /// One consumer, from its making until it fails or we stop.
    async fn session(
        &self,
        cx: &SourceContext,
        health: &Arc<ConnectionHealth>,
    ) -> Result<Ended, SourceError> {
        let board = Arc::new(Board::default());
        let config = match self.settings(&board, health).await {
            Ok(config) => config,
            Err(reason) => return Ok(Ended::Failed(reason)),
        };
        let mut group = self.join(&config, Arc::clone(&board), cx, health)?;
        let consumer = Arc::clone(&group.consumer);
        let (beside, tokens) = (Arc::clone(&consumer), self.renew_tokens(&board, health));
        let counted = Arc::clone(&consumer);
        let ended = tokio::select! {
            never = self.count_partitions(counted, &board, group.is_divided) => match never {},
            reason = poll(consumer) => Ok(Ended::Failed(reason)),
            reason = self.watch_errors(&board, health) => Ok(Ended::Failed(reason)),
            ended = tokens => match ended {},
            ended = self.watch_hubs(beside, &board, cx) => match ended {},
            ended = self.follow(&mut group, cx) => ended,
        };
        group.leave().await;
        if let (Ok(Ended::Failed("authentication")), Some(token)) = (&ended, board.token()) {
            self.shared.access.refused(&token);
        }
        ended
    }

    /// Fails with the reason that was told.
    async fn settings(
        &self,
        board: &Board,
        health: &ConnectionHealth,
    ) -> Result<ClientConfig, &'static str> {
        let failed = |reason, why: &str| {
            health.failed(reason, why);
            reason
        };
        let credential = self.shared.access.credential().await;
        let credential = credential.map_err(|error| failed("token", &chain(&error)))?;
        if let Credential::Token(token) = &credential {
            board.set_token(token.clone());
        }
        let made = settings::consumer(
            &self.librdkafka,
            &self.shared.access,
            &self.shared.group,
            self.address.as_deref(),
            self.extra_ca.as_deref(),
            &credential,
        );
        made.map_err(|why| failed("tls", &why))
    }

    fn join(
        &self,
        config: &ClientConfig,
        board: Arc<Board>,
        cx: &SourceContext,
        health: &Arc<ConnectionHealth>,
    ) -> Result<Group, SourceError> {
        let wrong = |error: rdkafka::error::KafkaError| SourceError(error.to_string());
        let consumer: KafkaConsumer = config
            .create_with_context(Context(Arc::clone(&board)))
            .map_err(wrong)?;
        let hubs: Vec<_> = self.shared.access.hubs.iter().map(String::as_str).collect();
        let is_divided = division::is_divided(cx, &self.shared.access.hubs);
        if !is_divided {
            consumer.subscribe(&hubs).map_err(wrong)?;
        }
        Ok(Group {
            consumer: Arc::new(consumer),
            board,
            shared: Arc::clone(&self.shared),
            health: Arc::clone(health),
            cx: cx.clone(),
            owned: HashMap::new(),
            is_divided,
            answers: 0,
            disconnects: 0,
        })
    }

    /// Does what the group decides until we stop or the connection is refused.
    async fn follow(&self, group: &mut Group, cx: &SourceContext) -> Result<Ended, SourceError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let board = Arc::clone(&group.board);
        loop {
            tokio::select! {
                biased;
                () = cx.stopped() => return Ok(Ended::Stopped),
                _ = ticks.tick() => {
                    group.show();
                    group.commit();
                    group.divide();
                    if group.is_abandoned() && !cx.is_stopped() {
                        return Err(SourceError("a partition takes no more batches".to_owned()));
                    }
                }
                change = board.change() => {
                    let applied = tokio::select! {
                        biased;
                        () = cx.stopped() => return Ok(Ended::Stopped),
                        applied = group.apply(change) => applied,
                    };
                    match applied {
                        Ok(()) => {}
                        Err(OpenError::Stopped(_)) if cx.is_stopped() => return Ok(Ended::Stopped),
                        Err(error) => return Err(SourceError(error.to_string())),
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Source for Kafka {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let metrics = &self.shared.metrics;
        let health = ConnectionHealth::new(&cx, metrics, &self.shared.access.namespace);
        let health = Arc::new(health);
        let mut wait = FIRST_WAIT;
        while !cx.is_stopped() {
            let begun = Instant::now();
            let Ended::Failed(reason) = self.session(&cx, &health).await? else {
                break;
            };
            metrics.counter(&SOURCE_RECONNECTS, &[reason]).inc();
            if begun.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            tokio::select! {
                () = cx.stopped() => {}
                () = sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
        Ok(())
    }
}
