//! A pipeline in a folder of its own, with its simulated tenant.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use tapline_e2e::ports;
use tapline_e2e::process::Process;
use tapline_e2e::program::{Simulation, tapline};
use tempfile::TempDir;

/// A pipeline file and the address of its admin page.
pub(crate) struct Rig {
    folder: TempDir,
    admin: u16,
    secret: String,
}

impl Rig {
    /// Writes the file; `components` are its sources, transforms, and sinks, which read `secret`
    /// from the environment as `TAPLINE_TEST_SECRET`.
    pub(crate) fn new(secret: &str, components: &str) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let [admin] = ports::free();
        let text = format!(
            "name: bench-{admin}\ndata_dir: {}\nadmin: {{ listen: \"127.0.0.1:{admin}\" }}\n{components}",
            folder.path().join("data").display(),
        );
        std::fs::write(folder.path().join("pipeline.yaml"), text)?;
        Ok(Self {
            folder,
            admin,
            secret: secret.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts `tapline run`, not waiting for anything.
    pub(crate) fn run(&self) -> anyhow::Result<Process> {
        let file = self.path().join("pipeline.yaml");
        let mut command = tapline(&["run", "-c"]);
        command.arg(file).env("TAPLINE_TEST_SECRET", &self.secret);
        Ok(Process::start(
            &mut command,
            &self.path().join("tapline.log"),
        )?)
    }

    /// What the program said, for whoever has to find out why it ended.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("tapline.log")).unwrap_or_default()
    }

    /// Status line and body of a page of the admin server; none while it does not answer.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Whether `/health/ready` says 200.
    pub(crate) fn is_ready(&self) -> bool {
        let answer = self.get("/health/ready");
        answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Events read and not settled yet, over all components.
    pub(crate) fn in_flight(&self) -> f64 {
        self.sum("tapline_component_in_flight_events{", "")
    }

    /// Events that sinks have delivered.
    pub(crate) fn delivered(&self) -> f64 {
        let name = "tapline_component_sent_events_total{";
        self.sum(name, "component_kind=\"sink\"")
    }

    /// Of all series with this beginning and this label.
    fn sum(&self, beginning: &str, label: &str) -> f64 {
        let page = self.get("/metrics").unwrap_or_default();
        let lines = page
            .lines()
            .filter(|line| line.starts_with(beginning) && line.contains(label));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

/// A source of the simulated tenant.
pub(crate) fn source(simulation: &Simulation, id: &str, api: &str, rest: &str) -> String {
    format!(
        r#"  {id}:
    type: defender
    config:
      api: {api}
      identity: {{ tenant_id: {tenant}, client_id: {client}, client_secret: {{ env: TAPLINE_TEST_SECRET }} }}
      endpoints: {{ login: "{login}", graph: "{graph}", siem: "{siem}" }}
      requests_per_minute: 60000
{rest}"#,
        tenant = simulation.text("tenant_id"),
        client = simulation.text("client_id"),
        login = simulation.text("login"),
        graph = simulation.text("graph"),
        siem = simulation.text("siem"),
    )
}
