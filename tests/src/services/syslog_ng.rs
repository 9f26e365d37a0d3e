//! syslog-ng as a receiver: TCP by line, and TLS that wants client certificates, on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::certificates::{CertificateFiles, Certificates};
use super::syslog_output::{AFTER, Output, Received, WITHIN};
use crate::process::Process;
use crate::{ports, wait_for};

/// A running syslog-ng; ends with its handle, and its files with it.
pub struct SyslogNg {
    process: Process,
    folder: TempDir,
    output: Output,
    tls: u16,
    tcp: u16,
}

impl SyslogNg {
    /// Starts it with a server certificate, trusting clients of the same authority.
    ///
    /// # Errors
    /// If it is not installed, or its files cannot be written.
    pub async fn start(certificates: &Certificates) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let output = Output::new(folder.path());
        let [tls, tcp] = ports::free();
        let server = certificates.server()?;
        let text = settings(&output, &certificates.ca(), &server, tls, tcp);
        std::fs::write(folder.path().join("syslog-ng.conf"), text)?;
        let syslog_ng = Self {
            process: launch(folder.path())?,
            folder,
            output,
            tls,
            tcp,
        };
        syslog_ng.serving().await;
        Ok(syslog_ng)
    }

    /// TLS with client certificates; understands octet counting only.
    pub fn tls(&self) -> String {
        format!("tls://127.0.0.1:{}", self.tls)
    }

    /// TCP; understands newline framing only.
    pub fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.tcp)
    }

    /// Waits until at least `count` messages arrived, and returns all.
    pub async fn received(&self, count: usize) -> Vec<Received> {
        self.output.wait_for(count).await
    }

    /// Ends it as a crash would; what it wrote stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`SyslogNg::kill`], on the same ports.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = launch(self.folder.path())?;
        self.serving().await;
        Ok(())
    }

    async fn serving(&self) {
        for port in [self.tls, self.tcp] {
            wait_for("syslog-ng listens", 60, async || {
                TcpStream::connect(("127.0.0.1", port)).await.ok()
            })
            .await;
        }
    }
}

/// Where the package put it, or where it was unpacked: as a package it cannot stand beside
/// rsyslog.
fn root() -> anyhow::Result<PathBuf> {
    let services = std::env::var_os("TAPLINE_SERVICES").map(PathBuf::from);
    let services =
        services.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.services"));
    let roots = [PathBuf::from("/"), services.join("syslog-ng")];
    let found = roots.into_iter().find(|root| program(root).exists());
    found.context("syslog-ng is missing; `make test` installs it")
}

fn program(root: &Path) -> PathBuf {
    root.join("usr/sbin/syslog-ng")
}

/// `usr/lib/syslog-ng/3.38` and its like.
fn modules(libraries: &Path) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(libraries)?.filter_map(Result::ok);
    let mut folders = entries.map(|entry| entry.path()).filter(|p| p.is_dir());
    folders.next().context("syslog-ng has no modules")
}

fn launch(folder: &Path) -> anyhow::Result<Process> {
    let root = root()?;
    let libraries = root.join("usr/lib/syslog-ng");
    let mut modules_path = std::ffi::OsString::from("--module-path=");
    modules_path.push(modules(&libraries)?);
    let mut command = Command::new(program(&root));
    command
        .env("LD_LIBRARY_PATH", &libraries)
        .args(["--foreground", "--no-caps", "--stderr"])
        .arg(modules_path)
        .arg("-f")
        .arg(folder.join("syslog-ng.conf"))
        .arg("-p")
        .arg(folder.join("pid"))
        .arg("-R")
        .arg(folder.join("persist"))
        .arg("-c")
        .arg(folder.join("control"));
    Process::start(&mut command, &folder.join("log")).context("starting syslog-ng")
}

fn settings(output: &Output, ca: &Path, server: &CertificateFiles, tls: u16, tcp: u16) -> String {
    let (output, ca) = (output.path().display(), ca.display());
    let (cert, key) = (server.cert.display(), server.key.display());
    format!(
        r#"@version: 3.38
options {{ keep-hostname(yes); }};
source counted {{
  syslog(ip("127.0.0.1") port({tls}) transport("tls") flags(store-raw-message)
    tls(ca-file("{ca}") cert-file("{cert}") key-file("{key}") peer-verify(required-trusted)));
}};
source lines {{
  network(ip("127.0.0.1") port({tcp}) transport("tcp") flags(syslog-protocol, store-raw-message));
}};
destination twice {{ file("{output}" template("$MSG\x{WITHIN:02x}$RAWMSG\x{AFTER:02x}")); }};
log {{ source(counted); source(lines); destination(twice); }};
"#
    )
}
