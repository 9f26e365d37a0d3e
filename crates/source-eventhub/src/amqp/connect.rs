//! A connection to a namespace: AMQP in TLS, or in a WebSocket in TLS, directly or through a
//! proxy; or in clear TCP to an emulator on this machine.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fe2o3_amqp::Connection;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp_ws::WebSocketStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tapline_core::{NetworkSettings, chain};
use tapline_entra_auth::http::{self, TunnelError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::faults::{Fault, gone, no_way};
use crate::access::Access;
use crate::config::{EventHubConfig, PLAINTEXT, Transport};
use crate::connection_string::host_and_port;

/// Source: "AMQP 1.0 in Azure Event Hubs", seen 2026; the emulator has no TLS.
const PORT: u16 = 5671;
const WEBSOCKET_PORT: u16 = 443;
const EMULATOR_PORT: u16 = 5672;
/// Source: as sent by Microsoft's Python client, azure-eventhub 5.15.
const WEBSOCKET_PATH: &str = "/$servicebus/websocket/";
/// The service drops what is idle for 240 s.
const IDLE_MS: u32 = 120_000;

/// Where to connect, and how.
pub(super) struct Dialer {
    /// As the service knows itself.
    namespace: String,
    host: String,
    port: u16,
    is_clear: bool,
    is_websocket: bool,
    network: NetworkSettings,
}

/// What AMQP is spoken over.
trait Wire: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Wire for T {}

impl Dialer {
    pub(super) fn new(config: &EventHubConfig, access: &Access, network: &NetworkSettings) -> Self {
        let is_websocket = config.transport == Transport::AmqpWebsocket;
        let port = match (access.is_emulator, is_websocket) {
            (true, _) => EMULATOR_PORT,
            (false, true) => WEBSOCKET_PORT,
            (false, false) => PORT,
        };
        let mut dialer = Self {
            namespace: access.namespace.clone(),
            host: access.namespace.clone(),
            port: access.port.unwrap_or(port),
            is_clear: access.is_emulator,
            is_websocket,
            network: network.clone(),
        };
        if let Some(endpoint) = &config.endpoints.amqp {
            dialer.go_to(endpoint);
        }
        dialer
    }

    /// Another address than the namespace's, for tests.
    fn go_to(&mut self, endpoint: &str) {
        let address = endpoint.strip_prefix(PLAINTEXT);
        self.is_clear = address.is_some();
        if let Some((host, Some(port))) = host_and_port(address.unwrap_or(endpoint)) {
            (self.host, self.port) = (host, port);
        }
    }

    /// Connects; who we are is shown later.
    pub(super) async fn open(&self) -> Result<ConnectionHandle<()>, Fault> {
        let mut wire: Box<dyn Wire> = Box::new(self.dial().await?);
        if !self.is_clear {
            wire = Box::new(self.secured(wire).await?);
        }
        if self.is_websocket {
            wire = Box::new(self.in_websocket(wire).await?);
        }
        let opened = Connection::builder()
            .container_id("tapline")
            .hostname(self.namespace.as_str())
            .idle_time_out(IDLE_MS)
            .sasl_profile(SaslProfile::Anonymous)
            .open_with_stream(wire)
            .await;
        opened.map_err(|error| {
            gone(format!(
                "{} does not speak AMQP with us: {error}",
                self.host
            ))
        })
    }

    async fn dial(&self) -> Result<tokio::net::TcpStream, Fault> {
        let dialed = http::connect(&self.network, &self.host, self.port).await;
        dialed.map_err(|error| match error {
            TunnelError::Connect(..) => gone(format!(
                "{}: is port {} open, or a proxy needed? amqp_websocket needs only port {WEBSOCKET_PORT}",
                chain(&error),
                self.port
            )),
            error => no_way("proxy", chain(&error)),
        })
    }

    async fn secured(&self, wire: Box<dyn Wire>) -> Result<impl Wire + use<>, Fault> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let untrusted = |error: String| {
            no_way(
                "tls",
                format!(
                    "no trusted TLS connection to {}: {error}; name the CA of a proxy in between under tls",
                    self.host
                ),
            )
        };
        let name = ServerName::try_from(bare.to_owned());
        let name = name.map_err(|error| untrusted(error.to_string()))?;
        let trust = trust(self.network.extra_ca.as_deref()).map_err(untrusted)?;
        let secured = TlsConnector::from(trust).connect(name, wire).await;
        secured.map_err(|error| untrusted(chain(&error)))
    }

    async fn in_websocket(&self, wire: Box<dyn Wire>) -> Result<impl Wire + use<>, Fault> {
        let scheme = if self.is_clear { "ws" } else { "wss" };
        let Self { host, port, .. } = self;
        let address = format!("{scheme}://{host}:{port}{WEBSOCKET_PATH}");
        let connected = WebSocketStream::connect_with_stream(address, wire).await;
        connected.map_err(|error| {
            gone(format!(
                "{host} makes no WebSocket of it: {}",
                chain(&error)
            ))
        })
    }
}

/// Read anew for every connection, so that a renewed file is found.
fn trust(extra_ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra_ca {
        add_file(&mut roots, path)
            .map_err(|error| format!("cannot read certificates of {}: {error}", path.display()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    Ok(())
}
