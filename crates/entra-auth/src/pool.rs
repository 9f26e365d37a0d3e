//! The identities of one process, each once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use reqwest::Client;
use tapline_core::{BuildContext, BuildError, NetworkSettings};
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::credential::Credential;
use crate::endpoint::{Endpoint, Party};
use crate::grant::Grant;
use crate::http::{HttpError, check_base_url, client};
use crate::{IdentityConfig, RateLimit, TokenProvider};

/// The process's token providers, rate limits, and HTTP clients. Lives in
/// [`BuildContext::shared`].
#[derive(Default)]
pub struct TokenPool {
    providers: Mutex<HashMap<String, Weak<TokenProvider>>>,
    limits: Mutex<HashMap<(String, String), Arc<RateLimit>>>,
    clients: Mutex<Vec<(NetworkSettings, Client)>>,
    tasks: TaskTracker,
}

impl TokenPool {
    /// The provider of an identity: the same for everyone who describes it alike. Who asks first
    /// decides through which proxy it speaks.
    ///
    /// # Errors
    /// [`BuildError`] when a secret, a certificate, or the login address cannot be used.
    pub fn provider(
        &self,
        identity: &IdentityConfig,
        login_base: &str,
        cx: &BuildContext,
    ) -> Result<Arc<TokenProvider>, BuildError> {
        if let Some(problem) = identity.problems("identity").into_iter().next() {
            return Err(BuildError::new(problem.path, problem.message));
        }
        let login_base = check_base_url(login_base)
            .map_err(|message| BuildError::new("endpoints.login", message))?;
        let credential = Credential::new(identity.clone(), cx.config_dir.clone());
        let label = label(identity);
        let key = format!("{login_base} {label} {}", credential.description());
        let mut providers = self
            .providers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(provider) = providers.get(&key).and_then(Weak::upgrade) {
            return Ok(provider);
        }
        let party = Party {
            label,
            login_base,
            tenant_id: identity.tenant_id.clone(),
            client_id: identity.client_id.clone(),
        };
        let provider = Arc::new(self.build(party, credential, cx)?);
        providers.insert(key, Arc::downgrade(&provider));
        Ok(provider)
    }

    fn build(
        &self,
        party: Party,
        credential: Credential,
        cx: &BuildContext,
    ) -> Result<TokenProvider, BuildError> {
        let label = party.label.clone();
        let proof = credential.resolve()?;
        let machine = credential.machine()?;
        for setting in credential.literals() {
            warn!(
                identity = label,
                setting,
                "secret stands in the pipeline file; better name an environment variable, a file, or a command"
            );
        }
        let client = self
            .client(&cx.network)
            .map_err(|error| BuildError::new("network", error))?;
        let grant = Grant::new(
            Endpoint::new(party, client),
            credential,
            proof,
            machine,
            cx.data_dir.clone(),
        );
        let metrics = cx.metrics.process().clone();
        Ok(TokenProvider::new(
            &label,
            grant,
            metrics,
            self.tasks.clone(),
        ))
    }

    /// The rate limit of an app in a tenant, over all sources of the process; the lowest ceiling
    /// that anyone asked for holds. At least one request per minute.
    pub fn rate_limit(
        &self,
        identity: &IdentityConfig,
        requests_per_minute: u32,
    ) -> Arc<RateLimit> {
        let key = (
            identity.tenant_id.to_ascii_lowercase(),
            identity.client_id.to_ascii_lowercase(),
        );
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limits
            .entry(key)
            .or_insert_with(|| Arc::new(RateLimit::new(requests_per_minute)));
        limit.lower_to(requests_per_minute);
        Arc::clone(limit)
    }

    /// A client as [`client`] builds it, one per network settings: its trusted certificates take
    /// megabytes, and two hundred tenants need them once.
    ///
    /// # Errors
    /// [`HttpError`] when the certificate file or the proxy's address cannot be used.
    pub fn client(&self, network: &NetworkSettings) -> Result<Client, HttpError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = clients.iter().find(|(settings, _)| settings == network) {
            return Ok(known.clone());
        }
        let made = client(network)?;
        clients.push((network.clone(), made.clone()));
        Ok(made)
    }

    /// Waits until no request for a token is under way; the last thing before a process ends, so
    /// that no new refresh token is lost.
    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn label(identity: &IdentityConfig) -> String {
    let client = match &*identity.client_id {
        "" => "managed-identity",
        client => client,
    };
    format!("{}/{client}", identity.tenant_id).to_ascii_lowercase()
}
