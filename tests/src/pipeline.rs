//! A pipeline in a folder of its own, run by the real program.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::process::Process;
use crate::program::{Simulation, tapline};
use crate::{ports, wait_for};

/// How long a drain may take.
pub const SHUTDOWN: Duration = Duration::from_secs(10);

/// A pipeline file and its data folder.
pub struct Pipeline {
    folder: TempDir,
    admin: u16,
    token: Option<&'static str>,
}

impl Pipeline {
    /// Writes a pipeline file. `body` holds sources, transforms, and sinks; name, data folder,
    /// and admin address are added.
    pub fn new(body: &str) -> anyhow::Result<Self> {
        Self::with_token(None, body)
    }

    /// The same with a token for the admin HTTP, which may change something then.
    pub fn guarded(body: &str) -> anyhow::Result<Self> {
        Self::with_token(Some("e2e-token"), body)
    }

    fn with_token(token: Option<&'static str>, body: &str) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let [admin] = ports::free();
        let pipeline = Self {
            folder,
            admin,
            token,
        };
        pipeline.rewrite(body)?;
        Ok(pipeline)
    }

    /// Replaces the file's components.
    pub fn rewrite(&self, body: &str) -> anyhow::Result<()> {
        let data = self.folder().join("data");
        let token = self.token.map(|token| format!(", token: {token}"));
        let text = format!(
            "name: e2e\ndata_dir: {}\nadmin: {{ listen: \"127.0.0.1:{}\"{} }}\nshutdown_secs: {}\n{body}",
            data.display(),
            self.admin,
            token.unwrap_or_default(),
            SHUTDOWN.as_secs(),
        );
        std::fs::write(self.file(), text).context("writing the pipeline file")
    }

    /// The pipeline file.
    pub fn file(&self) -> PathBuf {
        self.folder().join("pipeline.yaml")
    }

    /// Its folder; `tapline.log` is there too.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything the program logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("tapline.log")).unwrap_or_default()
    }

    /// Every dead letter so far.
    pub fn dead_letters(&self) -> Vec<serde_json::Value> {
        let files = std::fs::read_dir(self.folder().join("data/dead-letters"));
        let files = files.into_iter().flatten().filter_map(Result::ok);
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        let lines: Vec<String> = texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let letters = lines.iter().map(|line| serde_json::from_str(line));
        letters.map(|letter| letter.expect("JSON")).collect()
    }

    /// Starts the program, not waiting for anything.
    pub fn spawn(&self, environment: &[(&str, &str)]) -> anyhow::Result<Process> {
        self.run(&[], environment)
    }

    /// The same with further arguments.
    pub fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Process> {
        let file = self.file();
        let file = file.to_str().context("a UTF-8 path")?;
        let mut command = tapline(&["run", "-c", file]);
        command.args(arguments);
        command.envs(environment.iter().copied());
        Ok(Process::start(
            &mut command,
            &self.folder().join("tapline.log"),
        )?)
    }

    /// Starts the program and waits until it is ready.
    pub async fn start(&self, environment: &[(&str, &str)]) -> anyhow::Result<Process> {
        let mut process = self.spawn(environment)?;
        wait_for("tapline is ready", 60, async || {
            assert!(process.is_running(), "tapline ended:\n{}", self.log());
            self.get("/health/ready").await.ok()
        })
        .await;
        Ok(process)
    }

    /// Stops it politely; fails if that takes longer than 30 s or does not end with code 0.
    pub fn stop(&self, process: &mut Process) {
        let status = process.terminate(Duration::from_secs(30));
        assert!(
            status.is_some_and(|s| s.success()),
            "{status:?}:\n{}",
            self.log()
        );
    }

    /// Stops it politely, and says whether everything was settled in time; fails if that takes longer than
    /// 30 s, or ends in another way.
    pub fn stop_in_time(&self, process: &mut Process) -> bool {
        let status = process.terminate(Duration::from_secs(30));
        let code = status.and_then(|status| status.code());
        assert!(matches!(code, Some(0 | 1)), "{status:?}:\n{}", self.log());
        code == Some(0)
    }

    /// A page of the admin server, if it answers with 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let mut request = reqwest::Client::new().get(url);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        text(request.send().await?.error_for_status()?).await
    }

    /// Has the admin server do something, with or without its token: the status of the answer, and
    /// its body if that is JSON.
    pub async fn post(
        &self,
        path: &str,
        with_token: bool,
    ) -> anyhow::Result<(u16, serde_json::Value)> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let mut request = reqwest::Client::new().post(url);
        if let Some(token) = self.token.filter(|_| with_token) {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let body = text(response).await?;
        Ok((status, serde_json::from_str(&body).unwrap_or_default()))
    }

    /// The sum of a metric over all series whose labels contain `labels`.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        self.metric_with(name, &[labels]).await
    }

    /// The sum of a metric over all series whose labels contain each of `labels`.
    pub async fn metric_with(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.get("/metrics").await.unwrap_or_default();
        let series = text.lines().filter(|line| {
            let is_it = line
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']));
            is_it && labels.iter().all(|label| line.contains(label))
        });
        let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

async fn text(mut response: reqwest::Response) -> anyhow::Result<String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(body)?)
}

/// The three polled sources of a simulated tenant, with short intervals.
pub fn sources(simulation: &Simulation) -> String {
    let source = |id: &str, api: &str| {
        format!(
            r#"  {id}:
    type: defender
    config:
      api: {api}
      identity: {{ tenant_id: {tenant}, client_id: {client}, client_secret: {{ env: TAPLINE_TEST_SECRET }} }}
      endpoints: {{ login: "{login}", graph: "{graph}", siem: "{siem}" }}
      poll_interval_secs: 1
      settle_secs: 1
      initial_lookback_secs: 86400
      requests_per_minute: 60000
"#,
            tenant = simulation.text("tenant_id"),
            client = simulation.text("client_id"),
            login = simulation.text("login"),
            graph = simulation.text("graph"),
            siem = simulation.text("siem"),
        )
    };
    format!(
        "sources:\n{}{}{}",
        source("alerts", "graph_alerts"),
        source("incidents", "graph_incidents"),
        source("legacy", "siem")
    )
}

/// The environment in which a pipeline made of [`sources`] runs.
pub fn environment(simulation: &Simulation) -> Vec<(&'static str, &str)> {
    vec![("TAPLINE_TEST_SECRET", simulation.text("client_secret"))]
}
