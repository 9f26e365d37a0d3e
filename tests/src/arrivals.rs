//! What has arrived in Kafka, read from the beginning.
//!
//! The reader takes its partitions itself and needs no group: it is never behind because of one, and
//! reads nothing twice.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::ledger::Version;
use crate::services::kafka::{Kafka, is_listening};
use crate::wait_for;

/// How soon a new topic is read.
const TOPICS: Duration = Duration::from_millis(300);
const ANSWER: Duration = Duration::from_secs(5);
/// Shorter than a broker is away when it is restarted, so that no old reader meets the new broker.
const LISTED: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(50);

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its topic.
    pub topic: String,
    /// Partition and offset: the order in which Kafka took them.
    pub place: (i32, i64),
    /// Its key.
    pub key: Option<String>,
    /// Its headers.
    pub headers: HashMap<String, String>,
    /// Its value.
    pub body: Vec<u8>,
}

impl Record {
    /// `tenant:kind:id:version`.
    pub fn uid(&self) -> String {
        format!("{}:{}", self.record_key(), self.headers["version"])
    }

    /// `tenant:kind:id`.
    pub fn record_key(&self) -> String {
        let header = |name: &str| &self.headers[name];
        format!("{}:{}:{}", header("tenant"), header("kind"), header("id"))
    }
}

/// A topic's partition.
type Partition = (String, i32);

/// What was read, and up to where.
#[derive(Default)]
struct Read {
    records: Vec<Record>,
    /// Behind the last record of a partition, as far as it had any.
    next: HashMap<Partition, i64>,
}

/// Reads topics in the background until dropped.
pub struct Arrivals {
    read: Arc<Mutex<Read>>,
    topics: Arc<Topics>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Arrivals {
    /// Reads every topic whose name starts with `prefix`, those made later too.
    pub fn of(kafka: &Kafka, prefix: &str) -> anyhow::Result<Self> {
        Self::of_any(kafka, &[prefix])
    }

    /// The same of several prefixes.
    pub fn of_any(kafka: &Kafka, prefixes: &[&str]) -> anyhow::Result<Self> {
        let topics = Arc::new(Topics::new(kafka, prefixes)?);
        let read = Arc::<Mutex<Read>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let reader = {
            let (read, stop) = (Arc::clone(&read), Arc::clone(&stop));
            let topics = Arc::clone(&topics);
            std::thread::spawn(move || follow(&topics, &read, &stop))
        };
        Ok(Self {
            read,
            topics,
            stop,
            reader: Some(reader),
        })
    }

    /// Everything so far, in the order of reading.
    pub fn records(&self) -> Vec<Record> {
        self.read().records.clone()
    }

    /// How many so far.
    pub fn count(&self) -> usize {
        self.read().records.len()
    }

    /// How often each identity has arrived.
    pub fn by_uid(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for record in self.read().records.iter() {
            *counts.entry(record.uid()).or_default() += 1;
        }
        counts
    }

    /// How many records came again after their first time.
    pub fn repeats(&self) -> usize {
        self.by_uid().values().map(|times| times - 1).sum()
    }

    /// What arrived more than once, with all of its places; for whoever has to find out why.
    pub fn repeated(&self) -> Vec<(String, Vec<(i32, i64)>)> {
        let mut places: HashMap<String, Vec<_>> = HashMap::new();
        for record in self.read().records.iter() {
            places.entry(record.uid()).or_default().push(record.place);
        }
        let mut repeated: Vec<_> = places.into_iter().filter(|(_, it)| it.len() > 1).collect();
        repeated.sort_by_key(|(_, places)| places[0]);
        repeated
    }

    /// Versions that first arrived after a newer one of their record; `made` is in the order of
    /// making.
    pub fn overtaken(&self, made: &[Version]) -> Vec<String> {
        let made = made.iter().enumerate();
        let made: HashMap<&str, usize> = made.map(|(at, it)| (it.uid.as_str(), at)).collect();
        let mut records = self.records();
        records.sort_by_key(|record| (record.topic.clone(), record.place));
        let (mut newest, mut seen) = (HashMap::new(), HashSet::new());
        let mut overtaken = Vec::new();
        for record in records {
            let uid = record.uid();
            let Some(at) = made.get(uid.as_str()).copied() else {
                continue;
            };
            if !seen.insert(uid.clone()) {
                continue;
            }
            let before = newest.insert(record.record_key(), at);
            if before.is_some_and(|before| before > at) {
                overtaken.push(uid);
            }
        }
        overtaken
    }

    /// Waits until everything that the broker has by now was read. Only for topics without
    /// transactions, whose marks take places that no record has.
    pub async fn caught_up(&self) {
        wait_for("the reader of kafka has caught up", 120, async || {
            let ends = self.topics.ends().ok()?;
            let next = &self.read().next;
            let behind = |(at, end): (Partition, i64)| next.get(&at).copied().unwrap_or(0) < end;
            (!ends.into_iter().any(behind)).then_some(())
        })
        .await;
    }

    /// Waits until nothing has arrived for half a second.
    pub async fn quiet(&self) {
        let mut count = self.count();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            match self.count() {
                same if same == count => return,
                more => count = more,
            }
        }
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().expect("not poisoned")
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take()
            && reader.join().is_err()
        {
            eprintln!("the reader of kafka panicked");
        }
    }
}

/// The partitions that are read.
struct Topics {
    client: ClientConfig,
    lister: BaseConsumer,
    broker: String,
    prefixes: Vec<String>,
}

impl Topics {
    fn new(kafka: &Kafka, prefixes: &[&str]) -> anyhow::Result<Self> {
        let mut client = kafka.client();
        client.set("enable.auto.commit", "false");
        Ok(Self {
            lister: client.create()?,
            client,
            broker: kafka.address(),
            prefixes: prefixes.iter().map(|it| (*it).to_owned()).collect(),
        })
    }

    /// Those that there are now; an error as long as one of them has no leader.
    fn partitions(&self) -> KafkaResult<Vec<Partition>> {
        let metadata = self.lister.fetch_metadata(None, LISTED)?;
        let ours = |name: &str| self.prefixes.iter().any(|prefix| name.starts_with(prefix));
        let topics = metadata.topics().iter().filter(|topic| ours(topic.name()));
        let mut partitions = Vec::new();
        for topic in topics {
            for partition in topic.partitions() {
                if partition.leader() < 0 {
                    let code = RDKafkaErrorCode::LeaderNotAvailable;
                    return Err(KafkaError::MetadataFetch(code));
                }
                partitions.push((topic.name().to_owned(), partition.id()));
            }
        }
        Ok(partitions)
    }

    /// Behind the last place of each.
    fn ends(&self) -> KafkaResult<Vec<(Partition, i64)>> {
        let asked = list(&self.partitions()?, Offset::End)?;
        if asked.count() == 0 {
            return Ok(Vec::new());
        }
        let ends = self.lister.offsets_for_times(asked, ANSWER)?;
        let ends = ends.elements().into_iter().map(|it| {
            it.error()?;
            let end = it.offset().to_raw().unwrap_or(0);
            Ok(((it.topic().to_owned(), it.partition()), end))
        });
        ends.collect()
    }
}

/// What reads, as long as the broker is there. librdkafka 2.12 crashes when a broker that comes back
/// tells its old readers that a partition has no leader yet
/// (<https://github.com/confluentinc/librdkafka/issues/5280>), so a new one begins when all have.
struct Reader {
    client: BaseConsumer,
    taken: HashSet<Partition>,
}

impl Reader {
    fn new(topics: &Topics) -> KafkaResult<Self> {
        topics.partitions()?;
        Ok(Self {
            client: topics.client.create()?,
            taken: HashSet::new(),
        })
    }

    /// Reads those too that were made since, each from where the last reader was.
    fn take(&mut self, topics: &Topics, read: &Mutex<Read>) -> KafkaResult<()> {
        let mut new = topics.partitions()?;
        new.retain(|partition| !self.taken.contains(partition));
        if new.is_empty() {
            return Ok(());
        }
        let mut from = TopicPartitionList::new();
        for (topic, partition) in &new {
            let read = read.lock().expect("not poisoned");
            let next = read.next.get(&(topic.clone(), *partition));
            let next = next.map_or(Offset::Beginning, |next| Offset::Offset(*next));
            from.add_partition_offset(topic, *partition, next)?;
        }
        self.client.incremental_assign(&from)?;
        self.taken.extend(new);
        Ok(())
    }
}

fn list(partitions: &[Partition], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, offset)?;
    }
    Ok(list)
}

fn follow(topics: &Topics, read: &Mutex<Read>, stop: &AtomicBool) {
    let mut reader = None;
    let mut again = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        // Errors are the broker being away, which tests do on purpose; it comes back.
        if again <= Instant::now() {
            if !is_listening(&topics.broker) {
                reader = None;
            } else if reader.is_none() {
                reader = Reader::new(topics).ok();
            }
            if let Some(reader) = &mut reader {
                let _away = reader.take(topics, read);
            }
            again = Instant::now() + TOPICS;
        }
        match &reader {
            Some(reader) => follow_for_a_moment(reader, read),
            None => std::thread::sleep(MOMENT),
        }
    }
}

fn follow_for_a_moment(reader: &Reader, read: &Mutex<Read>) {
    let Some(Ok(message)) = reader.client.poll(MOMENT) else {
        return;
    };
    let partition = (message.topic().to_owned(), message.partition());
    let mut read = read.lock().expect("not poisoned");
    let next = read.next.entry(partition).or_default();
    // An offset that is out of range has the reader begin anew.
    if message.offset() >= *next {
        *next = message.offset() + 1;
        read.records.push(record(&message));
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    Record {
        topic: message.topic().to_owned(),
        place: (message.partition(), message.offset()),
        key: message.key().map(text),
        headers: headers
            .map(|header| {
                (
                    header.key.to_owned(),
                    text(header.value.unwrap_or_default()),
                )
            })
            .collect(),
        body: message.payload().unwrap_or_default().to_vec(),
    }
}
