//! Microsoft's side under the test's control, the program, and a receiver of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::process::Process;
use tapline_e2e::receiver::Receiver;
use tapline_e2e::wait_for;
use tapline_simulators::Simulation;

/// The program between a scripted Microsoft and a receiver, delivering OCSF.
pub(super) struct Scene {
    pub(super) microsoft: Simulation,
    pub(super) receiver: Receiver,
    pub(super) pipeline: Pipeline,
    pub(super) process: Process,
    secret: String,
}

impl Scene {
    /// Starts all of it.
    pub(super) async fn start() -> anyhow::Result<Self> {
        Self::start_with(Simulation::scripted().await?).await
    }

    /// The same with a Microsoft that was prepared.
    pub(super) async fn start_with(microsoft: Simulation) -> anyhow::Result<Self> {
        let secret = microsoft.announcement().client_secret;
        Self::start_by(microsoft, &secret).await
    }

    /// The same with a client secret that may be another one.
    pub(super) async fn start_by(microsoft: Simulation, secret: &str) -> anyhow::Result<Self> {
        let receiver = Receiver::start().await?;
        let pipeline = Pipeline::new(&to_receiver(&microsoft, &receiver))?;
        let process = pipeline.start(&[("TAPLINE_TEST_SECRET", secret)]).await?;
        Ok(Self {
            microsoft,
            receiver,
            pipeline,
            process,
            secret: secret.to_owned(),
        })
    }

    /// What Kafka or syslog would show: the ids of what arrived, in order.
    pub(super) fn ids(&self) -> Vec<String> {
        let messages = self.receiver.received();
        messages.iter().map(|message| id(message)).collect()
    }

    /// Waits until each of these alerts arrived, then looks that each came once.
    pub(super) async fn arrived_once(&self, ids: &[&str]) {
        self.arrived(ids).await;
        for id in ids {
            let times = self.ids().iter().filter(|seen| seen == id).count();
            assert_eq!(times, 1, "{id} came {times} times");
        }
    }

    /// Waits until each of these alerts arrived.
    pub(super) async fn arrived(&self, ids: &[&str]) {
        let what = format!("{ids:?} arrive");
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !ids
            .iter()
            .all(|id| self.ids().iter().any(|seen| seen == id))
        {
            assert!(
                std::time::Instant::now() < deadline,
                "{what}: only {:?} did\n{}",
                self.ids(),
                self.pipeline.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The message of an alert, as JSON.
    pub(super) fn message(&self, wanted: &str) -> Value {
        let messages = self.receiver.received();
        let message = messages.iter().find(|message| id(message) == wanted);
        serde_json::from_slice(message.expect("it arrived")).expect("JSON")
    }

    /// Waits until the status page says that a component is degraded, with all of these words.
    pub(super) async fn degraded(&self, component: &str, words: &[&str]) {
        degraded(&self.pipeline, component, words).await;
    }

    /// Waits until the status page says that a component works.
    pub(super) async fn works(&self, component: &str) {
        wait_for(&format!("{component} works again"), 60, async || {
            let shown = shown(&self.pipeline, component).await?;
            (shown["state"] == "running").then_some(())
        })
        .await;
    }

    /// Waits until the log has these words in one line.
    pub(super) async fn logged(&self, words: &[&str]) {
        logged(&self.pipeline, words).await;
    }

    /// What must be so after each attempt: it runs, is ready, shows no secret, and stops well.
    pub(super) async fn ends_well(mut self) -> anyhow::Result<()> {
        ends_well(&self.pipeline, &mut self.process, &[&self.secret]).await?;
        self.microsoft.stop().await;
        Ok(())
    }
}

/// `original_event_uid` of an OCSF event.
pub(crate) fn id(message: &[u8]) -> String {
    let event: Value = serde_json::from_slice(message).expect("JSON arrives");
    let id = event["metadata"]["original_event_uid"].as_str();
    id.unwrap_or_default().to_owned()
}

/// How often an alert has arrived.
pub(crate) fn times(receiver: &Receiver, wanted: &str) -> usize {
    let messages = receiver.received();
    messages
        .iter()
        .filter(|message| id(message) == wanted)
        .count()
}

async fn shown(pipeline: &Pipeline, component: &str) -> Option<Value> {
    let page = pipeline.get("/api/v1/status").await.ok()?;
    let status: Value = serde_json::from_str(&page).expect("the status is JSON");
    Some(status["components"][component].clone())
}

/// Waits until the status page says that a component is degraded, with all of these words.
pub(crate) async fn degraded(pipeline: &Pipeline, component: &str, words: &[&str]) {
    let what = format!("{component} is degraded: {words:?}");
    let mut last = Value::Null;
    let found = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            last = shown(pipeline, component).await.unwrap_or_default();
            let detail = last["detail"].as_str().unwrap_or_default();
            if last["state"] == "degraded" && words.iter().all(|word| detail.contains(word)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(found.is_ok(), "{what}: {last}\n{}", pipeline.log());
    let ready = pipeline.get("/health/ready").await;
    assert!(ready.is_ok(), "not ready while {component} is degraded");
}

/// Waits until the log has these words in one line.
pub(crate) async fn logged(pipeline: &Pipeline, words: &[&str]) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let is_there = || {
        let log = pipeline.log();
        log.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    while !is_there() {
        let log = pipeline.log();
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "no line with {words:?} in\n{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What must be so after each attempt: it runs, is ready, shows no secret, and stops well.
pub(super) async fn ends_well(
    pipeline: &Pipeline,
    process: &mut Process,
    secrets: &[&str],
) -> anyhow::Result<()> {
    assert!(process.is_running(), "it ended:\n{}", pipeline.log());
    pipeline.get("/health/ready").await?;
    let mut seen = pipeline.get("/metrics").await?;
    seen += &pipeline.get("/api/v1/status").await?;
    pipeline.stop(process);
    let log = pipeline.log();
    assert!(!log.contains("panicked"), "{log}");
    seen += &log;
    for secret in secrets {
        assert!(!seen.contains(secret), "a secret is shown");
    }
    assert!(!seen.contains("Bearer "), "a token is shown");
    Ok(())
}

/// A pipeline that sends OCSF to a receiver, octet-counted.
pub(crate) fn to_receiver(microsoft: &Simulation, receiver: &Receiver) -> String {
    let endpoint = receiver.endpoint();
    format!(
        r#"{}transforms:
  ocsf: {{ type: normalize, inputs: [alerts], config: {{ to: ocsf }} }}
sinks:
  siem:
    type: syslog
    inputs: [ocsf]
    config: {{ endpoint: "{endpoint}", format: none, framing: octet_counting, max_message_bytes: 16000000 }}
"#,
        source(microsoft)
    )
}

/// A source `alerts` with short intervals.
pub(crate) fn source(microsoft: &Simulation) -> String {
    let at = microsoft.announcement();
    format!(
        r#"sources:
  alerts:
    type: defender
    config:
      api: graph_alerts
      identity: {{ tenant_id: {tenant}, client_id: {client}, client_secret: {{ env: TAPLINE_TEST_SECRET }} }}
      endpoints: {{ login: "{login}", graph: "{graph}", siem: "{siem}" }}
      poll_interval_secs: 1
      settle_secs: 1
      requests_per_minute: 60000
"#,
        tenant = at.tenant_id,
        client = at.client_id,
        login = at.login,
        graph = at.graph,
        siem = at.siem,
    )
}

/// A time so many seconds from now, as Graph writes it.
pub(crate) fn time(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_nanos()).expect("before 2262");
    let at =
        jiff::Timestamp::from_nanosecond(i128::from(now) + i128::from(seconds) * 1_000_000_000);
    let at = at.expect("a time in this century");
    at.strftime("%Y-%m-%dT%H:%M:%S.%7fZ").to_string()
}

/// A plain alert, last changed so many seconds from now.
pub(crate) fn alert(id: &str, seconds: i64) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.security.alert",
        "id": id,
        "title": format!("alert {id}"),
        "severity": "medium",
        "status": "new",
        "serviceSource": "microsoftDefenderForEndpoint",
        "createdDateTime": time(seconds),
        "lastUpdateDateTime": time(seconds),
        "evidence": [],
    })
}

/// A plain alert with further members, or others in place of its own.
pub(crate) fn alert_with(id: &str, seconds: i64, members: Value) -> Value {
    let mut alert = alert(id, seconds);
    for (name, value) in members.as_object().expect("an object") {
        alert[name] = value.clone();
    }
    alert
}
