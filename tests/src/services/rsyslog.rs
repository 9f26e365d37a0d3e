//! rsyslog as a receiver: UDP, TCP, and TLS that wants client certificates, on loopback.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::certificates::{CertificateFiles, Certificates};
use super::syslog_output::{AFTER, Output, Received, WITHIN};
use crate::process::Process;
use crate::{ports, wait_for};

/// Where Debian's package puts it.
const PROGRAM: &str = "/usr/sbin/rsyslogd";

/// A running rsyslog; ends with its handle, and its files with it.
pub struct Rsyslog {
    process: Process,
    folder: TempDir,
    output: Output,
    tls: u16,
    tcp: u16,
    udp: u16,
}

impl Rsyslog {
    /// Starts it with a server certificate, trusting clients of the same authority.
    ///
    /// # Errors
    /// If it is not installed, or its files cannot be written.
    pub async fn start(certificates: &Certificates) -> anyhow::Result<Self> {
        let installed = Path::new(PROGRAM).exists();
        ensure!(installed, "{PROGRAM} is missing; `make test` installs it");
        let folder = TempDir::new()?;
        let output = Output::new(folder.path());
        let [tls, tcp, udp] = ports::free();
        let server = certificates.server()?;
        let text = settings(&output, &certificates.ca(), &server, [tls, tcp, udp]);
        std::fs::write(folder.path().join("rsyslog.conf"), text)?;
        let rsyslog = Self {
            process: launch(folder.path())?,
            folder,
            output,
            tls,
            tcp,
            udp,
        };
        rsyslog.serving().await;
        Ok(rsyslog)
    }

    /// TLS with client certificates; understands both framings.
    pub fn tls(&self) -> String {
        format!("tls://127.0.0.1:{}", self.tls)
    }

    /// TCP; understands both framings.
    pub fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.tcp)
    }

    /// UDP.
    pub fn udp(&self) -> String {
        format!("udp://127.0.0.1:{}", self.udp)
    }

    /// Waits until at least `count` messages arrived, and returns all.
    pub async fn received(&self, count: usize) -> Vec<Received> {
        self.output.wait_for(count).await
    }

    /// Ends it as a crash would; what it wrote stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Its process, to be stopped and continued.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The port of [`Rsyslog::tcp`].
    pub fn tcp_port(&self) -> u16 {
        self.tcp
    }

    /// Starts it again after [`Rsyslog::kill`], on the same ports.
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
            wait_for("rsyslog listens", 60, async || {
                TcpStream::connect(("127.0.0.1", port)).await.ok()
            })
            .await;
        }
    }
}

fn launch(folder: &Path) -> anyhow::Result<Process> {
    let pid = folder.join("pid");
    // A crash leaves it behind, and rsyslog does not start over it.
    if pid.exists() {
        std::fs::remove_file(&pid)?;
    }
    let mut command = Command::new(PROGRAM);
    command.arg("-n").arg("-f").arg(folder.join("rsyslog.conf"));
    command.arg("-i").arg(pid);
    Process::start(&mut command, &folder.join("log")).context("starting rsyslog")
}

fn settings(output: &Output, ca: &Path, server: &CertificateFiles, ports: [u16; 3]) -> String {
    let [tls, tcp, udp] = ports;
    let folder = output.path().parent().unwrap_or(output.path());
    let (folder, output, ca) = (folder.display(), output.path().display(), ca.display());
    let (cert, key) = (server.cert.display(), server.key.display());
    // Octal escapes are what its templates understand.
    format!(
        r#"global(workDirectory="{folder}"
       parser.escapeControlCharactersOnReceive="off"
       defaultNetstreamDriverCAFile="{ca}"
       defaultNetstreamDriverCertFile="{cert}"
       defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp")
module(load="imudp")
template(name="twice" type="string" string="%msg%\{WITHIN:03o}%rawmsg%\{AFTER:03o}")
ruleset(name="all") {{ action(type="omfile" file="{output}" template="twice") }}
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="all"
      streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="all")
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="all")
"#
    )
}
