//! What has arrived in Kafka, read from the beginning by a consumer of its own.
//!
//! A record counts once, by its place: a consumer that loses its group, because a topic is made or a
//! broker dies, reads again what it has not committed, and that is no repeat of the sender's.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::ledger::Version;
use crate::services::kafka::Kafka;

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

/// Reads topics in the background until dropped.
pub struct Arrivals {
    records: Arc<Mutex<Vec<Record>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Arrivals {
    /// Reads every topic whose name starts with `prefix`, those made later too.
    pub fn of(kafka: &Kafka, prefix: &str) -> anyhow::Result<Self> {
        let group = format!("arrivals-{:016x}", rand::random::<u64>());
        let consumer: BaseConsumer = kafka.client().set("group.id", group).create()?;
        consumer.subscribe(&[&format!("^{}.*", prefix.replace('.', "\\."))])?;
        let records = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let reader = {
            let (records, stop) = (Arc::clone(&records), Arc::clone(&stop));
            std::thread::spawn(move || read(&consumer, &records, &stop))
        };
        Ok(Self {
            records,
            stop,
            reader: Some(reader),
        })
    }

    /// Everything so far, in the order of reading.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().expect("not poisoned").clone()
    }

    /// How many so far.
    pub fn count(&self) -> usize {
        self.records.lock().expect("not poisoned").len()
    }

    /// How often each identity has arrived.
    pub fn by_uid(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for record in self.records.lock().expect("not poisoned").iter() {
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
        for record in self.records.lock().expect("not poisoned").iter() {
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

fn read(consumer: &BaseConsumer, records: &Mutex<Vec<Record>>, stop: &AtomicBool) {
    let mut next = HashMap::new();
    while !stop.load(Ordering::Relaxed) {
        // Errors are the broker being away, which tests do on purpose; the consumer comes back.
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            let partition = (message.topic().to_owned(), message.partition());
            let next = next.entry(partition).or_insert(0);
            if message.offset() >= *next {
                *next = message.offset() + 1;
                records.lock().expect("not poisoned").push(record(&message));
            }
        }
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
