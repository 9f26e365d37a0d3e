//! The running source: one task per tenant.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Client;
use tapline_core::metrics::ComponentMetrics;
use tapline_core::{
    BuildContext, BuildError, Checkpoint, Control, Kind, Labels, OpenError, Partition, Source,
    SourceConfig, SourceContext, SourceError, Span, StreamIdentity, Text,
};
use tapline_entra_auth::{Audience, RateLimit, TokenPool, TokenProvider};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::api::Api;
use crate::config::{Api as ApiName, DefenderConfig};
use crate::health::Health;
use crate::limits::ANSWERS_AT_ONCE;
use crate::query::Query;
use crate::reading::{Parts, Reading, Times};
use crate::sift::Stamp;
use crate::tables::Tables;
use crate::times::Ticks;
use crate::walk::Window;

/// For apps that the portal's "Enable SIEM integration" made (defender-docs, 2020 to 2026).
const SIEM_RESOURCE: &str = "https://graph.windows.net";

/// How often the lag of streams that stand still is brought up to date.
const TICK: Duration = Duration::from_secs(1);

/// Reads one API of one or many tenants.
pub(crate) struct Defender(Arc<Tenancy>);

/// What the readings of all tenants share.
struct Tenancy {
    config: DefenderConfig,
    client: Client,
    query: Query,
    audience: Audience,
    labels: Labels,
    metrics: ComponentMetrics,
    pool: Arc<TokenPool>,
    tenants: Vec<Tenant>,
    answers: Arc<Semaphore>,
    /// What is read instead of the live stream.
    backfill: Option<Span>,
}

struct Tenant {
    id: Text,
    tokens: Arc<TokenProvider>,
    limit: Arc<RateLimit>,
}

/// How the task of a partition ended.
#[derive(Debug, Eq, PartialEq)]
enum Ended {
    Told,
    Abandoned,
    /// Another process reads it now.
    Revoked,
    /// All of a span is read and settled.
    Done,
}

impl Defender {
    /// Resolves secrets and certificates; opens no connection.
    ///
    /// # Errors
    /// [`BuildError`] when one of them cannot be used.
    pub(crate) fn build(config: &DefenderConfig, cx: &BuildContext) -> Result<Self, BuildError> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(BuildError::new(problem.path, problem.message));
        }
        let mut cx = cx.clone();
        override_network(config, &mut cx);
        let pool = cx.shared.get_or_init(TokenPool::default);
        let client = pool
            .client(&cx.network)
            .map_err(|error| BuildError::new("tls", error))?;
        let query = Query::new(config).map_err(|error| BuildError::new("endpoints", error))?;
        Ok(Self(Arc::new(Tenancy {
            client,
            query,
            audience: audience(config),
            labels: Arc::new(config.labels.clone()),
            metrics: cx.metrics.clone(),
            tenants: tenants(config, &pool, &cx)?,
            pool,
            answers: Arc::new(Semaphore::new(ANSWERS_AT_ONCE)),
            config: config.clone(),
            backfill: cx.backfill,
        })))
    }
}

impl Tenancy {
    /// Opens the partition of a tenant.
    async fn open(&self, tenant: &Tenant, cx: &SourceContext) -> Result<Reader, OpenError> {
        let (name, stream) = self.stream(tenant);
        let mut partition = cx.open(&name, stream).await?;
        let checkpoint = partition.take_checkpoint();
        let restored = Tables::restore(&checkpoint, self.config.emit)
            .map_err(|error| OpenError::ForeignCheckpoint(format!("{name}: {error}")))?;
        Ok(self.reader(tenant, cx, partition, restored))
    }

    /// The name and the stream of a tenant's partition. A span has those of its own, so that the
    /// live stream and other spans stand where they stood.
    fn stream(&self, tenant: &Tenant) -> (String, StreamIdentity) {
        let api = self.config.api.as_str();
        let mut name = format!("{}/{api}", tenant.id);
        let parts = [
            ("cloud", self.config.cloud.as_str()),
            ("tenant", &*tenant.id),
            ("api", api),
        ];
        let parts = parts.map(|(part, value)| (part.to_owned(), value.to_owned()));
        let mut parts = parts.to_vec();
        if let Some(span) = self.backfill {
            name.push_str(&format!("@{span}"));
            parts.push(("backfill".to_owned(), span.to_string()));
        }
        let source = DefenderConfig::TYPE.to_owned();
        (name, StreamIdentity { source, parts })
    }

    fn reader(
        &self,
        tenant: &Tenant,
        cx: &SourceContext,
        partition: Partition,
        restored: Option<Tables>,
    ) -> Reader {
        let span = self.backfill.map(Window::of);
        let times = match span {
            Some(_) => Times::of(&self.config).of_span(),
            None => Times::of(&self.config),
        };
        let now = Ticks::from_timestamp(Timestamp::now());
        let is_new = restored.is_none();
        let begin = span.map_or(now.minus(times.lookback), |span| span.from);
        let tables = restored.unwrap_or_else(|| Tables::starting_at(begin, self.config.emit));
        let lag = now.since(tables.position.read_to);
        let health = Arc::new(Health::new(
            &self.metrics,
            cx,
            partition.name(),
            lag,
            partition.settled(),
        ));
        let reading = Reading::new(Parts {
            api: Api {
                client: self.client.clone(),
                tokens: Arc::clone(&tenant.tokens),
                audience: self.audience.clone(),
                limit: Arc::clone(&tenant.limit),
                health: Arc::clone(&health),
            },
            query: self.query.clone(),
            stamp: Stamp {
                api: self.config.api,
                kind: Kind::new(kind(self.config.api)),
                tenant: tenant.id.clone(),
                labels: Arc::clone(&self.labels),
            },
            times,
            tables,
            answers: Arc::clone(&self.answers),
            wants_expansion: self.config.expand_alerts,
            corrects_start: is_new && span.is_none(),
            until: span.map(|span| span.to),
        });
        Reader {
            span,
            partition,
            reading,
            health,
            is_new,
        }
    }

    /// Reads a tenant whenever that is ours to do.
    async fn tend(&self, tenant: &Tenant, cx: &SourceContext) -> Result<Ended, OpenError> {
        loop {
            let reader = self.open(tenant, cx).await?;
            match reader.run(cx).await {
                Ended::Revoked => {}
                ended => return Ok(ended),
            }
        }
    }
}

#[async_trait]
impl Source for Defender {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let mut tasks = JoinSet::new();
        for tenant in 0..self.0.tenants.len() {
            let (tenancy, cx) = (Arc::clone(&self.0), cx.clone());
            tasks.spawn(async move { tenancy.tend(&tenancy.tenants[tenant], &cx).await });
        }
        let ended = watch(&mut tasks, &cx).await;
        tasks.shutdown().await;
        if cx.is_stopped() {
            // The answer to a request under way may hold the only copy of the next refresh token.
            self.0.pool.idle().await;
        }
        ended
    }
}

/// Waits until all tasks ended, or one of them did without being told to.
async fn watch(
    tasks: &mut JoinSet<Result<Ended, OpenError>>,
    cx: &SourceContext,
) -> Result<(), SourceError> {
    while let Some(task) = tasks.join_next().await {
        match task {
            Ok(Err(OpenError::Stopped(_))) => {}
            Ok(Ok(Ended::Abandoned)) if !cx.is_stopped() => {
                return Err(SourceError("a partition takes no more batches".to_owned()));
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(SourceError(error.to_string())),
            Err(error) => return Err(SourceError(error.to_string())),
        }
    }
    Ok(())
}

/// One partition and its reading.
struct Reader {
    /// What is read, if it is not the live stream.
    span: Option<Window>,
    partition: Partition,
    reading: Reading,
    health: Arc<Health>,
    is_new: bool,
}

impl Reader {
    async fn run(mut self, cx: &SourceContext) -> Ended {
        let health = Arc::clone(&self.health);
        tokio::select! {
            biased;
            () = cx.stopped() => Ended::Told,
            ended = self.read(cx) => ended,
            never = tick(&health) => match never {},
        }
    }

    /// Reads until told to stop, or until a span is read.
    async fn read(&mut self, cx: &SourceContext) -> Ended {
        if self.is_new && self.make_start_durable().await.is_err() {
            return self.abandoned();
        }
        info!(stream = self.partition.name(), from = %self.reading.tables.position.newest, "reading");
        loop {
            let room = self.partition.room();
            tokio::select! {
                biased;
                control = self.partition.control() => match control {
                    Control::Stop => return Ended::Told,
                    Control::Revoked => return Ended::Revoked,
                    Control::Rewind(checkpoint) => {
                        if !self.rewind(&checkpoint) {
                            return Ended::Abandoned;
                        }
                    }
                },
                turn = after(room, self.reading.next()) => {
                    let Ok(turn) = turn else {
                        return self.abandoned();
                    };
                    let Some(turn) = turn else {
                        match self.all_settled(cx).await {
                            Some(ended) => return ended,
                            None => continue,
                        }
                    };
                    if self.partition.send(turn.batch).await.is_err() {
                        return self.abandoned();
                    }
                    self.show_progress(cx);
                }
            }
        }
    }

    /// Waits until all that was read is settled; none if some of it has to be read again.
    async fn all_settled(&mut self, cx: &SourceContext) -> Option<Ended> {
        let end = self.reading.tables.position.encode();
        let durable = self.partition.commit(end);
        if durable.await.is_ok() {
            self.show_progress(cx);
            info!(
                stream = self.partition.name(),
                "all of the span is read and settled"
            );
            return Some(Ended::Done);
        }
        match self.partition.control().await {
            Control::Stop => Some(Ended::Abandoned),
            Control::Revoked => Some(Ended::Revoked),
            Control::Rewind(checkpoint) => {
                let rewound = self.rewind(&checkpoint);
                (!rewound).then_some(Ended::Abandoned)
            }
        }
    }

    /// False if the checkpoint cannot be read: whoever opens the partition anew says more.
    fn rewind(&mut self, checkpoint: &Checkpoint) -> bool {
        let rewound = self.reading.rewind(checkpoint);
        if let Err(error) = &rewound {
            let stream = self.partition.name();
            error!(stream, %error, "the checkpoint of a rewind cannot be read; opening the partition anew");
        }
        rewound.is_ok()
    }

    fn show_progress(&self, cx: &SourceContext) {
        if let Some(Window { from, to }) = self.span {
            let read = self
                .reading
                .tables
                .position
                .read_to
                .since(from)
                .as_secs_f64();
            let all = to.since(from).as_secs_f64().max(f64::MIN_POSITIVE);
            cx.progress(self.partition.name(), (read / all).min(1.0));
        }
    }

    /// Why the runtime takes no more.
    fn abandoned(&mut self) -> Ended {
        match self.partition.is_revoked() {
            true => Ended::Revoked,
            false => Ended::Abandoned,
        }
    }

    /// The first start decides from where on nothing is lost, also if nothing can be read yet.
    async fn make_start_durable(&mut self) -> Result<(), tapline_core::Stopped> {
        let start = self.reading.tables.position.encode();
        self.partition.commit(start).await
    }
}

/// Lets the lag grow while nothing is read; never ends.
async fn tick(health: &Health) -> Infallible {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        health.tick();
    }
}

/// Reads when there is room for what is read.
async fn after<T>(
    room: impl Future<Output = Result<(), tapline_core::Stopped>>,
    read: impl Future<Output = T>,
) -> Result<T, tapline_core::Stopped> {
    room.await?;
    Ok(read.await)
}

fn override_network(config: &DefenderConfig, cx: &mut BuildContext) {
    if let Some(proxy) = &config.proxy {
        cx.network.https_proxy = Some(proxy.https.clone());
    }
    if let Some(tls) = &config.tls {
        cx.network.extra_ca = Some(cx.config_dir.join(&tls.ca));
    }
}

fn tenants(
    config: &DefenderConfig,
    pool: &TokenPool,
    cx: &BuildContext,
) -> Result<Vec<Tenant>, BuildError> {
    let tenants = config.tenants().into_iter();
    tenants
        .map(|(path, identity)| {
            let tokens = pool.provider(identity, config.login_base(), cx);
            Ok(Tenant {
                id: Text::from(identity.tenant_id.as_str()),
                tokens: tokens.map_err(|error| at_identity(&path, error))?,
                limit: pool.rate_limit(identity, config.requests_per_minute),
            })
        })
        .collect()
}

/// The pool does not know at which path of the file an identity stands.
fn at_identity(path: &str, mut error: BuildError) -> BuildError {
    if let Some(rest) = error.path.strip_prefix("identity") {
        error.path = format!("{path}{rest}");
    }
    error
}

fn audience(config: &DefenderConfig) -> Audience {
    match config.api {
        ApiName::Siem => {
            Audience::V1Resource(config.resource.clone().unwrap_or(SIEM_RESOURCE.to_owned()))
        }
        _ => Audience::V2Scope(format!("{}/.default", config.cloud.graph())),
    }
}

const fn kind(api: ApiName) -> &'static str {
    match api {
        ApiName::GraphIncidents => "graph.incident",
        ApiName::Siem => "siem.detection",
        ApiName::GraphAlerts => "graph.alert",
        ApiName::EndpointAlerts => "endpoint.alert",
        ApiName::Hunting => "hunting.unknown",
    }
}
