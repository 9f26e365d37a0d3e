//! Apache Kafka: broker and controller in one process (KRaft), on loopback.

mod hub;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

pub use self::hub::HubProof;
use self::hub::Ports;
use crate::process::Process;
use crate::services::certificates::CertificateFiles;
use crate::{ports, wait_for};

/// Any 16 bytes in base64url will do.
const CLUSTER_ID: &str = "dGFwbGluZS1lMmUtdGVzdA";

/// A running broker; ends with its handle, and its data with it.
pub struct Kafka {
    process: Process,
    folder: TempDir,
    port: u16,
    /// Arguments of its virtual machine.
    machine: Vec<String>,
}

impl Kafka {
    /// Starts a broker on a free port and waits until it serves; takes about five seconds.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further lines of its properties file, such as
    /// `auto.create.topics.enable=false`.
    pub async fn start_with(properties: &[&str]) -> anyhow::Result<Self> {
        let [port, controller] = ports::free();
        let folder = TempDir::new()?;
        write_properties(folder.path(), port, controller, properties)?;
        Self::start_in(folder, port, Vec::new()).await
    }

    /// The same with one more listener, on TLS, that asks for a proof as the Kafka endpoint of
    /// Azure Event Hubs does. Returns its port too.
    pub async fn start_as_hub(
        server: &CertificateFiles,
        proof: HubProof<'_>,
        properties: &[&str],
    ) -> anyhow::Result<(Self, u16)> {
        let folder = TempDir::new()?;
        let [plain, controller, hub] = ports::free();
        let ports = Ports {
            plain,
            controller,
            hub,
        };
        let listener = proof.properties(folder.path(), server, ports)?;
        let properties = [&[&*listener], properties].concat();
        write_properties(folder.path(), plain, controller, &properties)?;
        let kafka = Self::start_in(folder, plain, proof.machine()).await?;
        Ok((kafka, hub))
    }

    /// The same with one more listener that sends its clients to the port of a cable. Returns the
    /// port at which the cable's other end belongs.
    pub async fn start_behind(cable: u16) -> anyhow::Result<(Self, u16)> {
        let folder = TempDir::new()?;
        let ([plain, controller, inner], here) = (ports::free(), "127.0.0.1");
        let listeners = format!(
            "listeners=PLAIN://{here}:{plain},CONTROLLER://{here}:{controller},CABLE://{here}:{inner}\n\
             advertised.listeners=PLAIN://{here}:{plain},CABLE://{here}:{cable}\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,CABLE:PLAINTEXT"
        );
        write_properties(folder.path(), plain, controller, &[&listeners])?;
        let kafka = Self::start_in(folder, plain, Vec::new()).await?;
        Ok((kafka, inner))
    }

    async fn start_in(folder: TempDir, port: u16, machine: Vec<String>) -> anyhow::Result<Self> {
        let formatted = java("kafka.tools.StorageTool", &[])
            .args(["format", "-t", CLUSTER_ID, "-c"])
            .arg(folder.path().join("server.properties"))
            .output()?;
        let said = String::from_utf8_lossy(&formatted.stderr);
        ensure!(formatted.status.success(), "kafka-storage format: {said}");
        let process = launch(folder.path(), &machine)?;
        let kafka = Self {
            process,
            folder,
            port,
            machine,
        };
        kafka.serving().await;
        Ok(kafka)
    }

    /// Its address, as `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would; its data stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Kafka::kill`], on the same port; takes up to 15 seconds.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = launch(self.folder.path(), &self.machine)?;
        self.serving().await;
        Ok(())
    }

    /// Its process, to be stopped and continued.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A client that changes topics.
    pub fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    /// Runs one of Kafka's own tools, such as `kafka.admin.ConfigCommand`; takes some seconds.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = java(class, &[]);
        let said = command
            .args(["--bootstrap-server", &self.address()])
            .args(arguments)
            .output()?;
        let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "{class}: {text}");
        Ok(())
    }

    /// Makes a topic with one partition and the given settings.
    pub async fn create_topic(&self, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        self.create_topic_of(name, 1, settings).await
    }

    /// The same with so many partitions.
    pub async fn create_topic_of(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let admin = self.admin()?;
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = admin.create_topics([&topic], &AdminOptions::new()).await?;
        for result in results {
            result.map_err(|(topic, code)| anyhow::anyhow!("creating topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// A consumer configuration that points here.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.address())
            .set("group.id", "tapline-e2e")
            .set("auto.offset.reset", "earliest")
            .set("topic.metadata.refresh.interval.ms", "1000")
            .set("reconnect.backoff.max.ms", "1000");
        config
    }

    async fn serving(&self) {
        wait_for("kafka listens", 120, async || {
            is_listening(&self.address()).then_some(())
        })
        .await;
        let consumer: BaseConsumer = self.client().create().expect("a consumer");
        wait_for("kafka serves", 60, async || {
            let metadata = consumer.fetch_metadata(None, Duration::from_secs(10));
            metadata
                .ok()
                .filter(|m| !m.brokers().is_empty())
                .map(|_| ())
        })
        .await;
    }
}

/// Whether somebody takes connections: asking librdkafka in vain leaves a request behind each time.
pub fn is_listening(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

fn launch(folder: &Path, machine: &[String]) -> anyhow::Result<Process> {
    let mut command = java("kafka.Kafka", machine);
    command.arg(folder.join("server.properties"));
    Process::start(&mut command, &folder.join("kafka.log")).context("starting kafka")
}

fn java(class: &str, machine: &[String]) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .args(machine)
        .arg("-cp")
        .arg(jars().join("*"))
        .arg(class);
    command
}

fn jars() -> PathBuf {
    let services = std::env::var_os("TAPLINE_SERVICES").map(PathBuf::from);
    let services =
        services.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.services"));
    services.join("kafka")
}

fn write_properties(
    folder: &Path,
    port: u16,
    controller: u16,
    further: &[&str],
) -> anyhow::Result<()> {
    let data = folder.join("data");
    let data = data.display();
    let properties = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAIN://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAIN://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAIN\n\
         log.dirs={data}\n\
         num.partitions=4\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n"
    );
    let properties = properties + &further.join("\n");
    std::fs::write(folder.join("server.properties"), properties)?;
    Ok(())
}
