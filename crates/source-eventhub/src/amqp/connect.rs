//! A connection to a namespace: TLS, or clear TCP to an emulator on this machine.

use std::path::Path;
use std::sync::Arc;

use fe2o3_amqp::Connection;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::SaslProfile;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::Access;

/// Source: "AMQP 1.0 in Azure Event Hubs", seen 2026; the emulator has no TLS.
const PORT: u16 = 5671;
const EMULATOR_PORT: u16 = 5672;
/// The service drops what is idle for 240 s.
const IDLE_MS: u32 = 120_000;

/// Connects; who we are is shown later.
///
/// # Errors
/// A sentence that says what to look at.
pub(super) async fn connect(
    access: &Access,
    extra_ca: Option<&Path>,
) -> Result<ConnectionHandle<()>, String> {
    let host = access.namespace.as_str();
    let port = access.port.unwrap_or(if access.is_emulator {
        EMULATOR_PORT
    } else {
        PORT
    });
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| format!("no connection to {host}:{port}: {error}"))?;
    stream
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    let builder = Connection::builder()
        .container_id("tapline")
        .hostname(host)
        .idle_time_out(IDLE_MS)
        .sasl_profile(SaslProfile::Anonymous);
    let opened = if access.is_emulator {
        builder.open_with_stream(stream).await
    } else {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let secured = TlsConnector::from(trust(extra_ca)?)
            .connect(name, stream)
            .await;
        let secured =
            secured.map_err(|error| format!("no trusted TLS connection to {host}: {error}"))?;
        builder.open_with_stream(secured).await
    };
    opened.map_err(|error| format!("{host} does not speak AMQP with us: {error}"))
}

fn trust(extra_ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra_ca {
        let wrong = |error: String| format!("cannot read {}: {error}", path.display());
        let found =
            CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| wrong(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
