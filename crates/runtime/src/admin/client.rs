//! The other side of the admin HTTP: how a command speaks with the process that runs a pipeline.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tapline_core::{Secret, chain};

use super::AdminConfig;

/// A reload may drain components, which takes as long as a stop.
const LIMIT: Duration = Duration::from_secs(120);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// More than any answer of ours but an export.
const MAX_ANSWER: usize = 1 << 30;

/// Speaks with the admin HTTP that a pipeline file describes.
pub struct AdminClient {
    client: Client,
    base: String,
    token: Option<Secret>,
}

/// Why the admin HTTP did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file does not say where it is, or how to be let in.
    #[error("{0}")]
    Settings(String),
    /// It does not answer.
    #[error("asking the running process at {address}: {why}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why not.
        why: String,
    },
    /// It refused, and says why.
    #[error("{0}")]
    Refused(String),
}

impl AdminClient {
    /// A client for the `admin:` of a pipeline file. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ClientError::Settings`] if the file does not say enough.
    pub fn new(config: &AdminConfig, config_dir: &Path) -> Result<Self, ClientError> {
        let settings = |text: String| ClientError::Settings(text);
        if config.listen.port() == 0 {
            let text = "admin.listen has port 0, so nobody knows where the running process listens; give it a port";
            return Err(settings(text.to_owned()));
        }
        let token = config.token.as_ref().map(|token| token.resolve(config_dir));
        let token = token.transpose();
        let token = token.map_err(|error| settings(format!("admin.token: {}", chain(&error))))?;
        let mut client = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT);
        if let Some(tls) = &config.tls {
            let path = config_dir.join(&tls.cert);
            let pem = std::fs::read(&path);
            let pem = pem.map_err(|error| settings(format!("{}: {error}", path.display())))?;
            let certificates = Certificate::from_pem_bundle(&pem);
            let certificates = certificates
                .map_err(|error| settings(format!("{}: {}", path.display(), chain(&error))))?;
            // It is reached by its address, which no certificate names; the certificate itself is
            // what makes it ours.
            client = client
                .tls_certs_only(certificates)
                .danger_accept_invalid_hostnames(true);
        }
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        Ok(Self {
            client: client
                .build()
                .map_err(|error| settings(format!("admin: {}", chain(&error))))?,
            base: format!("{scheme}://{}", reachable(config.listen)),
            token,
        })
    }

    /// Whether there is a token, without which nothing may be changed.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError`]: why there is no answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(self.request(Method::GET, path)).await
    }

    /// Asks for something as it was sent.
    ///
    /// # Errors
    /// [`ClientError`]: why there is no answer.
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// [`ClientError`]: why it was not done.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.ask(self.request(Method::POST, path).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let body = self.send(request).await?;
        serde_json::from_slice(&body)
            .map_err(|error| self.unreachable(format!("the answer is not ours: {error}")))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let failed = |error: reqwest::Error| self.unreachable(chain(&error.without_url()));
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.unreachable("the answer has no end".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        let said: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let said = said.and_then(|said| Some(said["error"].as_str()?.to_owned()));
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned());
        Err(match said.is_empty() {
            true => ClientError::Refused(format!("the running process answered {status}")),
            false => ClientError::Refused(said),
        })
    }

    fn unreachable(&self, why: String) -> ClientError {
        ClientError::Unreachable {
            address: self.base.clone(),
            why,
        }
    }
}

/// Who listens everywhere is reached on this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
