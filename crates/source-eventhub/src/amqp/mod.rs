//! AMQP 1.0, as every tier of Event Hubs speaks it.
//!
//! One connection per hub, one link per partition. After whatever ended a link, the next one goes
//! on after the last message received; only a restart or a lost event goes back to the settled one.

mod connect;
mod faults;
mod link;
mod manage;
mod token;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fe2o3_amqp::Session;
use fe2o3_amqp_cbs::client::CbsClient;
use fe2o3_amqp_cbs::token::CbsToken;
use tapline_core::metrics::{
    ComponentMetrics, ERRORS, SOURCE_MISSED_RECORDS, SOURCE_PARTITIONS, SOURCE_RECONNECTS,
};
use tapline_core::{
    BuildContext, BuildError, Labels, OpenError, Partition, Source, SourceConfig, SourceContext,
    SourceError, StreamIdentity,
};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tracing::info;

use self::connect::connect;
use self::faults::{REASONS, gone};
use self::link::{Left, Seat, Shared};
use self::manage::Management;
pub(crate) use self::token::signature;
use crate::access::Access;
use crate::config::EventHubConfig;
use crate::cursor::HubCursor;
use crate::events::Reaper;
use crate::health::{ConnectionHealth, chain};
use crate::repeats::Memory;
use crate::standing::Standing;
use crate::start::StartAt;
use crate::tables::TableChoice;

/// Tokens are shown again much earlier than they end, and partitions counted again.
const CARE: Duration = Duration::from_secs(240);
const GROWTH: Duration = Duration::from_secs(30);
/// Longest wait for a connection to be made, a token to be taken, or a question to be answered.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Reads hubs over AMQP.
pub(crate) struct Amqp {
    hubs: Vec<String>,
    reading: Arc<Reading>,
}

/// What reading a hub takes.
struct Reading {
    access: Access,
    group: String,
    tables: TableChoice,
    start_at: StartAt,
    labels: Labels,
    /// None if repeats are not dropped.
    memory: Option<Arc<Memory>>,
    metrics: ComponentMetrics,
    extra_ca: Option<PathBuf>,
}

/// A hub's connection and what serves it.
struct Line {
    connection: Shared,
    claims: CbsClient,
    management: Management,
    _session: fe2o3_amqp::session::SessionHandle<()>,
}

impl Amqp {
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
            cx.metrics.counter(&SOURCE_RECONNECTS, &[reason]);
        }
        let access = Access::build(config, &cx)?;
        Ok(Self {
            hubs: access.hubs.clone(),
            reading: Arc::new(Reading {
                access,
                group: config.consumer_group.clone(),
                tables: config.tables.clone(),
                start_at: config.start_at,
                labels: Arc::new(config.labels.clone()),
                memory: config.memory(),
                metrics: cx.metrics.clone(),
                extra_ca: cx.network.extra_ca.clone(),
            }),
        })
    }
}

#[async_trait]
impl Source for Amqp {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let mut hubs = JoinSet::new();
        for hub in &self.hubs {
            let (reading, hub, cx) = (Arc::clone(&self.reading), hub.clone(), cx.clone());
            hubs.spawn(async move { reading.hub(&hub, &cx).await });
        }
        while let Some(ended) = hubs.join_next().await {
            ended.map_err(|error| SourceError(error.to_string()))??;
        }
        Ok(())
    }
}

impl Reading {
    async fn hub(&self, hub: &str, cx: &SourceContext) -> Result<(), SourceError> {
        let health = Arc::new(ConnectionHealth::new(cx, &self.metrics, hub));
        let mut seats = HashMap::new();
        let mut wait = FIRST_WAIT;
        loop {
            let session = self.session(hub, cx, &health, &mut seats);
            let ended = tokio::select! {
                biased;
                () = cx.stopped() => return Ok(()),
                ended = session => ended,
            };
            let (reason, was_up) = match ended {
                // What the runtime takes no more is no error while it stops.
                Err(_) if cx.is_stopped() => return Ok(()),
                ended => ended?,
            };
            self.metrics.counter(&SOURCE_RECONNECTS, &[reason]).inc();
            wait = if was_up {
                FIRST_WAIT
            } else {
                (wait * 2).min(LONGEST_WAIT)
            };
            tokio::select! {
                () = cx.stopped() => return Ok(()),
                () = sleep(wait) => {}
            }
        }
    }

    /// One connection, until it is of no more use: why, and whether it ever was.
    async fn session(
        &self,
        hub: &str,
        cx: &SourceContext,
        health: &Arc<ConnectionHealth>,
        seats: &mut HashMap<String, Seat>,
    ) -> Result<(&'static str, bool), SourceError> {
        let mut line = match timeout(PATIENCE, self.line(hub)).await {
            Ok(Ok(line)) => line,
            Ok(Err((reason, why))) => {
                health.failed(reason, &why);
                return Ok((reason, false));
            }
            Err(_) => {
                health.failed("unreachable", "the service does not answer");
                return Ok(("unreachable", false));
            }
        };
        let (release, released) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut care = interval(CARE);
        care.reset();
        let mut growth = interval(GROWTH);
        let mut known = Vec::new();
        let reason = loop {
            tokio::select! {
                Some(task) = tasks.join_next() => {
                    let (seat, left): (Seat, Left) = task.map_err(|error| SourceError(error.to_string()))?;
                    seats.insert(seat.id.clone(), seat);
                    match left {
                        Left::Connection(fault) => break fault.reason,
                        Left::Released => {}
                        Left::Stopped if cx.is_stopped() => return Ok(("stopped", true)),
                        Left::Stopped => return Err(SourceError("a partition takes no more batches".to_owned())),
                    }
                }
                _ = care.tick() => {
                    let shown = timeout(PATIENCE, self.show_token(&mut line.claims, hub)).await;
                    if let Ok(Err((reason, why))) = shown {
                        health.failed(reason, &why);
                        break reason;
                    }
                }
                _ = growth.tick() => {
                    let ids = timeout(PATIENCE, line.management.partitions()).await;
                    let Ok(Ok(ids)) = ids else {
                        health.failed("unreachable", "the hub's partitions cannot be asked for");
                        break "unreachable";
                    };
                    for id in ids {
                        if known.contains(&id) {
                            continue;
                        }
                        let seat = match seats.remove(&id) {
                            Some(seat) => seat,
                            None => match self.seat(hub, &id, cx, health, &mut line.management, !known.is_empty()).await? {
                                Ok(seat) => seat,
                                Err(why) => {
                                    health.failed("unreachable", &why);
                                    continue;
                                }
                            },
                        };
                        known.push(id);
                        tasks.spawn(seat.read(Arc::clone(&line.connection), released.clone()));
                    }
                    self.metrics.gauge(&SOURCE_PARTITIONS, &[]).set(known.len() as f64);
                }
            }
        };
        release.send_replace(true);
        while let Some(task) = tasks.join_next().await {
            let (seat, _) = task.map_err(|error| SourceError(error.to_string()))?;
            seats.insert(seat.id.clone(), seat);
        }
        Ok((reason, true))
    }

    async fn line(&self, hub: &str) -> Result<Line, (&'static str, String)> {
        let unreachable = |why: String| ("unreachable", why);
        let mut connection = connect(&self.access, self.extra_ca.as_deref())
            .await
            .map_err(unreachable)?;
        let mut session = Session::begin(&mut connection)
            .await
            .map_err(|error| unreachable(gone(error).why))?;
        let claims = CbsClient::attach(&mut session).await;
        let mut claims = claims.map_err(|error| unreachable(error.to_string()))?;
        self.show_token(&mut claims, hub).await?;
        let management = Management::attach(&mut session, hub)
            .await
            .map_err(unreachable)?;
        Ok(Line {
            connection: Arc::new(Mutex::new(connection)),
            claims,
            management,
            _session: session,
        })
    }

    async fn show_token(
        &self,
        claims: &mut CbsClient,
        hub: &str,
    ) -> Result<(), (&'static str, String)> {
        let resource = format!("sb://{}/{hub}", self.access.namespace);
        let claim = self.access.claim(&resource).await;
        let (kind, token) = claim.map_err(|error| ("token", chain(&error)))?;
        let token = CbsToken::new(token.expose(), kind, None);
        let shown = claims.put_token(resource, token).await;
        shown.map_err(|error| {
            let Access {
                namespace, policy, ..
            } = &self.access;
            let who = policy
                .as_ref()
                .map_or("the app".to_owned(), |policy| format!("policy {policy}"));
            (
                "unauthorized",
                format!("{namespace} refuses what {who} shows for hub {hub}: {error}"),
            )
        })
    }

    /// Opens a partition; an answer that does not come may come the next time.
    async fn seat(
        &self,
        hub: &str,
        id: &str,
        cx: &SourceContext,
        health: &Arc<ConnectionHealth>,
        management: &mut Management,
        is_new: bool,
    ) -> Result<Result<Seat, String>, SourceError> {
        let bounds = match management.bounds(id).await {
            Ok(bounds) => bounds,
            Err(why) => return Ok(Err(why)),
        };
        let name = format!("{hub}/{id}");
        let wrong = |error: OpenError| SourceError(error.to_string());
        let partition = cx
            .open(&name, self.identity(hub, id))
            .await
            .map_err(wrong)?;
        let checkpoint = HubCursor::decode(&partition.checkpoint().cursor)
            .map_err(|error| SourceError(format!("{name}: {error}")))?;
        // A partition that was added while we read has nothing but new messages.
        let start_at = if is_new {
            StartAt::Earliest
        } else {
            self.start_at
        };
        let received = match (checkpoint, start_at) {
            (Some(cursor), _) => Some(cursor),
            (None, StartAt::Earliest) => Some(begin(&partition, bounds.oldest).await?),
            (None, StartAt::Latest) => Some(begin(&partition, bounds.end).await?),
            (None, StartAt::Time(_)) => None,
        };
        let next = received.as_ref().map_or(bounds.oldest, HubCursor::next);
        let standing = Standing::new(&self.metrics, &name, next);
        standing.answered(Some(bounds.end));
        info!(partition = name, next, "reading");
        let memory = self.memory.as_ref();
        let recall = memory.map(|memory| memory.open(&name, partition.checkpoint(), &self.metrics));
        Ok(Ok(Seat {
            hub: hub.to_owned(),
            id: id.to_owned(),
            group: self.group.clone(),
            partition,
            received,
            start_at,
            reaper: Reaper::new(
                &self.tables,
                Arc::clone(&self.labels),
                &self.metrics,
                recall,
            ),
            standing,
            missed: self.metrics.counter(&SOURCE_MISSED_RECORDS, &[&name]),
            health: Arc::clone(health),
            message_bytes: 64 << 10,
            yields: 0,
        }))
    }

    fn identity(&self, hub: &str, id: &str) -> StreamIdentity {
        let parts = [
            ("namespace", self.access.namespace.to_ascii_lowercase()),
            ("hub", hub.to_owned()),
            ("group", self.group.clone()),
            ("partition", id.to_owned()),
        ];
        StreamIdentity {
            source: EventHubConfig::TYPE.to_owned(),
            parts: parts.map(|(part, value)| (part.to_owned(), value)).to_vec(),
        }
    }
}

/// From here on nothing is lost, also if nothing can be read yet.
async fn begin(partition: &Partition, next: i64) -> Result<HubCursor, SourceError> {
    let cursor = HubCursor::before(next);
    let durable = partition.commit(cursor.encode()).await;
    durable.map_err(|error| SourceError(error.to_string()))?;
    Ok(cursor)
}
