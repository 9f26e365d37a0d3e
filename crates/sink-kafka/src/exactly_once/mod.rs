//! Events and cursors in one transaction of Kafka, and who of several replicas reads what.
//!
//! | topic | partitions | holds |
//! | --- | --- | --- |
//! | `<pipeline>.<sink>.control` | 64 | nothing: its group shares the partitions of sources |
//! | `<pipeline>.<sink>.cursors` | 1, compacted | what is durable of each partition |
//! | `<pipeline>.<sink>.dead-letters` | 1 | events that Kafka never takes, and why |
//!
//! A process joins the group first and makes its producer then; both have the name of its data
//! folder. So a copy of the folder has our place in the group before it ends our transactions: who
//! finds its producer fenced asks the group, which tells a copy from a transaction that only
//! took too long.

mod board;
mod client;
mod cursors;
mod instance;
mod membership;
mod outspoken;
mod quiet;
mod shares;
mod takeover;
mod topics;
mod transaction;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use tapline_core::metrics::{
    ComponentMetrics, DEAD_LETTERS, DISCARDED_EVENTS, SINK_OWNED_PARTITIONS, SINK_TRANSACTIONS,
};
use tapline_core::{
    Advance, Advanced, BuildContext, BuildError, Durable, Fenced, PartitionKey, Reach, Tenure,
    TransactionalConfig, TransactionalSink,
};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use self::board::Board;
use self::client::{Client, Clients};
use self::membership::{Member, Place};
use self::takeover::Takeover;
use self::topics::Names;
use self::transaction::{Aside, Outcome, Proof, Transaction};
use crate::config::{KafkaConfig, Key};
use crate::settings;
use crate::topic::TopicTemplate;
use crate::troubles::Troubles;

/// Between attempts of what the cluster refused: doubles from the first to the last.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long the cluster takes to mark the end of a transaction. A next one that comes before is
/// refused, and librdkafka asks again only after 20 ms.
const MARKING: Duration = Duration::from_millis(5);
/// Requests for what is durable wait so long for others, since one reading serves all.
const GATHER: Duration = Duration::from_millis(20);

/// The running sink.
pub(crate) struct ExactlyOnce {
    names: Names,
    instance: String,
    interval: Duration,
    connection: ClientConfig,
    clients: Clients,
    topic: TopicTemplate,
    key: Key,
    board: Arc<Board>,
    /// Our place in the group, while there is one.
    member: watch::Sender<Option<Arc<Member>>>,
    wanted: Mutex<Wanted>,
    is_wanted: Notify,
    /// Before this the next transaction would be refused.
    marked: Mutex<Instant>,
    troubles: Arc<Troubles>,
    metrics: ComponentMetrics,
}

/// Who waits for what is durable of a partition.
type Wanted = Vec<(PartitionKey, oneshot::Sender<Durable>)>;

/// Under whose name a partition's records stand, if it is not everybody's.
fn owner<'a>(key: &PartitionKey, instance: &'a str) -> Option<&'a str> {
    match key.reach {
        Reach::Everybody => None,
        Reach::Folder => Some(instance),
    }
}

impl TransactionalConfig for KafkaConfig {
    fn build(&self, cx: &BuildContext) -> Result<Box<dyn TransactionalSink>, BuildError> {
        Ok(Box::new(ExactlyOnce::new(self, cx)?))
    }
}

impl ExactlyOnce {
    fn new(config: &KafkaConfig, cx: &BuildContext) -> Result<Self, BuildError> {
        let topic = TopicTemplate::parse(&config.topic).map_err(|e| BuildError::new("topic", e))?;
        let instance =
            instance::name(&cx.data_dir).map_err(|error| BuildError::new("exactly_once", error))?;
        let names = Names::new(&cx.pipeline, &instance, &cx.component.id);
        let producer = settings::producer(&config.brokers, &config.librdkafka, cx)?;
        let connection = settings::connection(&producer);
        let clients = Clients::new(&producer, &names.identity);
        Ok(Self {
            names,
            instance,
            interval: config.transaction_interval(),
            connection,
            clients,
            topic,
            key: config.key,
            board: Arc::new(Board::new(cx.metrics.gauge(&SINK_OWNED_PARTITIONS, &[]))),
            member: watch::Sender::new(None),
            wanted: Mutex::default(),
            is_wanted: Notify::new(),
            marked: Mutex::new(Instant::now()),
            troubles: Arc::default(),
            metrics: cx.metrics.clone(),
        })
    }

    /// Makes the topics, and keeps a place in the group; a new one when it is lost for good.
    async fn keep_place(&self) -> Infallible {
        let mut wait = AGAIN.0;
        loop {
            match self.join().await {
                Ok(member) => {
                    wait = AGAIN.0;
                    let member = Arc::new(member);
                    self.member.send_replace(Some(Arc::clone(&member)));
                    membership::serve(&member, &self.board).await;
                    member.retire();
                    self.member.send_replace(None);
                    self.board.given_up();
                    self.board.assigned([]);
                }
                Err(why) => self.board.tell(Some(why)),
            }
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }

    async fn join(&self) -> Result<Member, String> {
        let made = topics::make(&self.connection, &self.names, &self.troubles).await;
        made.map_err(|error| error.to_string())?;
        membership::join(&self.connection, &self.names, &self.board)
            .map_err(|error| format!("joining the group of the replicas: {error}"))
    }

    /// Our place in the group, once there is one.
    async fn member(&self) -> Arc<Member> {
        let mut member = self.member.subscribe();
        loop {
            let found = member.borrow_and_update().clone();
            match found {
                Some(member) => return member,
                // The sender is ours, so that it is never gone before.
                None => drop(member.changed().await),
            }
        }
    }

    /// The producer, made anew where there is none; not before the group said that our place is
    /// ours.
    async fn client(&self) -> Result<Arc<Client>, Fenced> {
        let mut wait = AGAIN.0;
        loop {
            if self.board.is_fenced() {
                return Err(Fenced);
            }
            if let Some(client) = self.clients.current() {
                return Ok(client);
            }
            match self.place().await {
                Place::Taken => self.board.fence(),
                Place::Unknown => {}
                Place::Ours => match self.clients.make().await {
                    Ok(()) => {
                        self.board.tell(None);
                        continue;
                    }
                    Err(why) => self.board.tell(Some(why)),
                },
            }
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }

    async fn place(&self) -> Place {
        let member = self.member().await;
        // Asked by nobody it knows, the group would say that our place is another's.
        if !self.board.is_member() {
            return Place::Unknown;
        }
        let share = self.board.any_share().unwrap_or(0);
        let names = self.names.clone();
        let asked = move || {
            let place = membership::prove(&member, &names, share);
            (place, member.name())
        };
        match tokio::task::spawn_blocking(asked).await {
            // A member that is taken in anew asks under no name, and hears of its own last one.
            Ok((Place::Taken, name)) if !self.board.is_known_as(&name) => Place::Unknown,
            Ok((place, _)) => place,
            Err(_) => Place::Unknown,
        }
    }

    /// Answers who asks for what is durable.
    async fn take_over(&self) -> Infallible {
        loop {
            self.is_wanted.notified().await;
            sleep(GATHER).await;
            // What a process of our name left open is aborted first.
            if self.client().await.is_err() {
                std::future::pending::<()>().await;
            }
            let mut wanted = std::mem::take(&mut *self.wanted());
            wanted.retain(|(_, reply)| !reply.is_closed());
            let keys: Vec<_> = wanted.iter().map(|(key, _)| key.clone()).collect();
            let found = self.read(keys).await;
            for (key, reply) in wanted {
                // Who asked and was cut off may have asked again: each gets all of it.
                let durable = found.get(&key).expect("what was asked for is told").clone();
                // Nobody waits any more if the partition was taken away meanwhile.
                let _gone = reply.send(durable);
            }
        }
    }

    /// Reads the cursor topic, until that works.
    async fn read(&self, partitions: Vec<PartitionKey>) -> HashMap<PartitionKey, Durable> {
        let mut wait = AGAIN.0;
        loop {
            let given_up = GivenUp::default();
            let takeover = Takeover {
                connection: self.connection.clone(),
                topic: self.names.cursors.clone(),
                instance: self.instance.clone(),
                partitions: partitions.clone(),
                given_up: Arc::clone(&given_up.0),
            };
            match tokio::task::spawn_blocking(move || takeover.read()).await {
                Ok(Ok(found)) => {
                    self.board.tell(None);
                    return found;
                }
                Ok(Err(error)) => self.board.tell(Some(error.to_string())),
                Err(error) => self.board.tell(Some(error.to_string())),
            }
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who we are to the group, and the steps that are still ours; asked in this order, since a
    /// group that has moved on refuses who says what it was before.
    async fn still_ours(&self, steps: &[Arc<Advance>]) -> Option<(Proof, Vec<usize>)> {
        let member = self.member().await;
        let metadata = membership::metadata(&member)?;
        // Whoever is known by another name now has nothing of before, also if it was not told yet.
        if !self.board.is_known_as(&member.name()) {
            return None;
        }
        let share = self.board.any_share().unwrap_or(0);
        let is_ours = |at: &usize| {
            let step = &steps[*at];
            self.board.tenure(&step.key) == Some(step.tenure)
        };
        let ours = (0..steps.len()).filter(is_ours).collect();
        let offsets = membership::offsets(&self.names, share);
        Some((Proof { offsets, metadata }, ours))
    }

    fn marked(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt(
        &self,
        client: &Client,
        steps: &[Arc<Advance>],
        aside: &Aside,
        proof: Proof,
    ) -> Outcome {
        let transaction = Transaction {
            producer: &client.producer,
            topic: &self.topic,
            key: self.key,
            cursors: &self.names.cursors,
            dead_letters: &self.names.dead_letters,
            instance: &self.instance,
            is_alone: client.is_alone,
            steps,
            aside,
        };
        transaction.run(proof).await
    }

    /// What became of all steps that were asked for, of which `ours` were in the transaction.
    fn committed(&self, asked: usize, ours: &[usize], aside: &Aside) -> Vec<Advanced> {
        *self.marked() = Instant::now() + MARKING;
        self.count("committed");
        self.count_aside(aside);
        self.board.tell(None);
        let mut advanced = vec![Advanced::Void; asked];
        for (step, at) in ours.iter().enumerate() {
            let rejected = aside.range((step, 0)..(step + 1, 0)).count();
            advanced[*at] = Advanced::Durable { rejected };
        }
        advanced
    }

    /// Another producer in place of one that is of no more use.
    async fn renew(&self, broken: &Arc<Client>, why: &str) -> Result<(), Fenced> {
        self.count("client_renewed");
        tracing::warn!(
            why,
            "the producer is of no more use; reading again what is durable"
        );
        self.clients.discard(broken);
        self.client().await.map(|_| ())
    }

    fn count(&self, outcome: &str) {
        self.metrics.counter(&SINK_TRANSACTIONS, &[outcome]).inc();
    }

    fn count_aside(&self, aside: &Aside) {
        for (reason, _) in aside.values() {
            self.metrics.counter(&DISCARDED_EVENTS, &[reason]).inc();
            self.metrics.counter(&DEAD_LETTERS, &[reason]).inc();
        }
    }
}

/// Tells work on another thread when nobody waits for it any more.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What will never be taken, by the position of its step in what was asked for.
#[derive(Default)]
struct Rejected(HashMap<usize, Vec<(usize, &'static str, String)>>);

impl Rejected {
    fn add(&mut self, ours: &[usize], aside: Aside) {
        for ((step, at), (reason, why)) in aside {
            let of_step = self.0.entry(ours[step]).or_default();
            of_step.push((at, reason, why));
        }
    }

    /// For a transaction of these steps.
    fn of(&self, ours: &[usize]) -> Aside {
        let mut aside = Aside::new();
        for (step, asked) in ours.iter().enumerate() {
            for (at, reason, why) in self.0.get(asked).into_iter().flatten() {
                aside.insert((step, *at), (*reason, why.clone()));
            }
        }
        aside
    }
}

#[async_trait]
impl TransactionalSink for ExactlyOnce {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn place(&self) -> String {
        format!("topic {}", self.names.cursors)
    }

    async fn run(&self) -> Fenced {
        tokio::select! {
            () = self.board.fenced() => {}
            never = self.keep_place() => match never {},
            never = self.take_over() => match never {},
        }
        Fenced
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.board.trouble()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.board.changes()
    }

    fn tenure(&self, key: &PartitionKey) -> Option<Tenure> {
        self.board.tenure(key)
    }

    async fn recover(&self, key: &PartitionKey) -> Durable {
        let (reply, durable) = oneshot::channel();
        self.wanted().push((key.clone(), reply));
        self.is_wanted.notify_one();
        match durable.await {
            Ok(durable) => durable,
            // Whoever would answer is gone, and so is the pipeline.
            Err(_) => std::future::pending().await,
        }
    }

    async fn ready(&self) {
        let marked = *self.marked();
        sleep_until(marked).await;
    }

    async fn commit(&self, steps: Vec<Arc<Advance>>) -> Result<Vec<Advanced>, Fenced> {
        let mut rejected = Rejected::default();
        let mut wait = AGAIN.0;
        loop {
            let client = self.client().await?;
            let Some((proof, ours)) = self.still_ours(&steps).await else {
                sleep(wait).await;
                continue;
            };
            if ours.is_empty() {
                return Ok(vec![Advanced::Void; steps.len()]);
            }
            let aside = rejected.of(&ours);
            let live: Vec<_> = ours.iter().map(|at| Arc::clone(&steps[*at])).collect();
            match self.attempt(&client, &live, &aside, proof).await {
                Outcome::Committed => return Ok(self.committed(steps.len(), &ours, &aside)),
                Outcome::Broken(why) => {
                    self.renew(&client, &why).await?;
                    // Only the topic knows what became of it.
                    return Ok(vec![Advanced::Void; steps.len()]);
                }
                Outcome::Unfit(unfit) => {
                    self.count("rejected_events");
                    rejected.add(&ours, unfit);
                    continue;
                }
                Outcome::TooLarge => {
                    self.count("smaller_batches");
                    self.clients.send_alone();
                    continue;
                }
                Outcome::Again(reason, why) => {
                    self.count(reason);
                    self.board
                        .tell(Some(format!("no transaction succeeds: {why}")));
                }
                Outcome::NoMember(code) => {
                    tracing::debug!(%code, "the group has moved on");
                    self.count("rebalanced");
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }
}
