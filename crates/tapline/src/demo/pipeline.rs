//! The pipeline file of the demo: what a user would write, with addresses of the demo's own.

use std::path::{Path, PathBuf};

use tapline_core::private;
use tapline_simulators::Announcement;

/// Where everything is.
pub(super) struct Addresses<'a> {
    pub(super) microsoft: &'a Announcement,
    pub(super) kafka: &'a str,
    pub(super) syslog: &'a str,
}

/// Writes the file and the secrets it names into `folder`.
pub(super) fn write(folder: &Path, addresses: &Addresses<'_>) -> std::io::Result<PathBuf> {
    let secret = folder.join("client-secret");
    write_private(&secret, addresses.microsoft.client_secret.as_bytes())?;
    if let Some(hub) = &addresses.microsoft.eventhub {
        let secret = folder.join("hub-connection");
        write_private(&secret, hub.connection_string.as_bytes())?;
    }
    let file = folder.join("pipeline.yaml");
    std::fs::write(&file, text(addresses))?;
    Ok(file)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = private::file_options();
    let mut file = options.write(true).create_new(true).open(path)?;
    file.write_all(bytes)
}

fn text(addresses: &Addresses<'_>) -> String {
    let Announcement {
        login,
        graph,
        siem,
        tenant_id,
        client_id,
        ..
    } = addresses.microsoft;
    let source = |id: &str, api: &str| {
        format!(
            "  {id}:
    type: defender
    config:
      api: {api}
      identity: {{ tenant_id: {tenant_id}, client_id: {client_id}, client_secret: {{ file: client-secret }} }}
      endpoints: {{ login: \"{login}\", graph: \"{graph}\", siem: \"{siem}\" }}
      poll_interval_secs: 1
      settle_secs: 1
      requests_per_minute: 6000
"
        )
    };
    format!(
        "name: demo
data_dir: data
admin: {{ listen: \"127.0.0.1:0\" }}

sources:
{alerts}{incidents}{legacy}  hunting:
    type: eventhub
    config:
      transport: amqp
      auth: {{ connection_string: {{ file: hub-connection }} }}
      consumer_group: \"$Default\"
      tables: all

transforms:
  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}
  rows: {{ type: normalize, inputs: [hunting], config: {{ to: ocsf }} }}
  cef: {{ type: normalize, inputs: [alerts, incidents, legacy, hunting], config: {{ to: cef }} }}

sinks:
  lake:
    type: kafka
    inputs: [ocsf]
    config: {{ brokers: [\"{kafka}\"], topic: \"defender.{{kind}}\" }}
  rows_lake:
    type: kafka
    inputs: [rows]
    config: {{ brokers: [\"{kafka}\"], topic: defender.hunting }}
  siem:
    type: syslog
    inputs: [cef]
    config: {{ endpoint: \"tcp://{syslog}\", structured_data: {{}} }}
",
        alerts = source("alerts", "graph_alerts"),
        incidents = source("incidents", "graph_incidents"),
        legacy = source("legacy", "siem"),
        kafka = addresses.kafka,
        syslog = addresses.syslog,
    )
}
