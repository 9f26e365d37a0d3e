//! One identity's way to tokens: its proof, and the chain of refresh tokens that it keeps.

use std::path::PathBuf;

use tapline_core::{Secret, chain};
use tracing::{error, info, warn};

use crate::answer::Granted;
use crate::credential::{Credential, Proof, fingerprint};
use crate::endpoint::{Endpoint, Party};
use crate::managed::Machine;
use crate::store::{Chain, Store};
use crate::{Audience, AuthError};

/// One identity's way to tokens. Used by one request at a time.
pub(crate) struct Grant {
    endpoint: Endpoint,
    credential: Credential,
    proof: Proof,
    /// Who gives out tokens instead of the platform, without a proof.
    machine: Option<Machine>,
    store: Store,
    chain: Option<NamedChain>,
}

/// The chain in use, and what is known of it.
struct NamedChain {
    name: String,
    chain: Chain,
    /// Whether older tokens were tried too since the last success.
    exhausted: bool,
}

impl Grant {
    /// `proof` is what was read at the start, for when it cannot be read again; a `machine` gives
    /// out tokens of its own and needs none.
    pub(crate) fn new(
        endpoint: Endpoint,
        credential: Credential,
        proof: Proof,
        machine: Option<Machine>,
        data_dir: PathBuf,
    ) -> Self {
        Self {
            endpoint,
            credential,
            proof,
            machine,
            store: Store::new(&data_dir),
            chain: None,
        }
    }

    fn party(&self) -> &Party {
        self.endpoint.party()
    }

    /// Asks for a token. A new refresh token is durable before this returns.
    ///
    /// # Cancel safety
    /// Not cancel-safe: the answer may hold the only copy of the next refresh token.
    pub(crate) async fn redeem(&mut self, audience: &Audience) -> Result<Granted, AuthError> {
        if let Some(machine) = &self.machine {
            return self.endpoint.ask_machine(machine, audience).await;
        }
        self.read_proof().await;
        match self.proof.refresh_token.clone() {
            Some(configured) => self.refresh(audience, configured).await,
            None => self.ask(audience, None).await,
        }
    }

    /// Reads secrets anew; where that fails, the ones read before may still be good.
    async fn read_proof(&mut self) {
        let credential = self.credential.clone();
        match tokio::task::spawn_blocking(move || credential.resolve()).await {
            Ok(Ok(proof)) => self.proof = proof,
            Ok(Err(error)) => {
                warn!(
                    identity = self.party().label,
                    error = chain(&error),
                    "credential cannot be read again, using the last one"
                );
            }
            Err(error) => {
                warn!(identity = self.party().label, %error, "reading the credential was interrupted");
            }
        }
    }

    async fn refresh(
        &mut self,
        audience: &Audience,
        configured: Secret,
    ) -> Result<Granted, AuthError> {
        let mut current = self.current_chain(&configured).await;
        let mut candidates = current.chain.candidates(&configured);
        if current.exhausted {
            candidates.truncate(1);
        }
        let mut refusal = None;
        for candidate in candidates {
            match self.ask(audience, Some(&candidate)).await {
                Ok(mut granted) => {
                    current.exhausted = false;
                    let changed = current
                        .chain
                        .advance(&candidate, granted.refresh_token.take());
                    self.keep(current, changed).await;
                    return Ok(granted);
                }
                Err(error) if error.reason() == "reauthenticate" => {
                    refusal.get_or_insert(error);
                }
                Err(error) => {
                    self.chain = Some(current);
                    return Err(error);
                }
            }
        }
        current.exhausted = true;
        self.chain = Some(current);
        Err(refusal.expect("a chain has at least one token, and all were refused"))
    }

    /// The chain of the configured token; another one once the setting has changed.
    async fn current_chain(&mut self, configured: &Secret) -> NamedChain {
        let name = self.chain_name(configured);
        match self.chain.take() {
            Some(current) if current.name == name => current,
            _ => self.load_chain(name, configured).await,
        }
    }

    async fn load_chain(&self, name: String, configured: &Secret) -> NamedChain {
        let (store, key) = (self.store.clone(), name.clone());
        let loaded = tokio::task::spawn_blocking(move || store.load(&key)).await;
        let stored = match loaded.map_err(std::io::Error::other).flatten() {
            Ok(stored) => stored,
            Err(error) => {
                let file = self.store.path(&name);
                warn!(identity = self.party().label, file = %file.display(), %error, "stored refresh token cannot be read, using the configured one");
                None
            }
        };
        NamedChain {
            name,
            chain: stored.unwrap_or_else(|| Chain::new(configured.clone())),
            exhausted: false,
        }
    }

    /// Tenant and client for humans, and a fingerprint that changes with the setting.
    fn chain_name(&self, configured: &Secret) -> String {
        let Party {
            login_base,
            tenant_id,
            client_id,
            ..
        } = self.party();
        let print = fingerprint(&[login_base, tenant_id, client_id, configured.expose()]);
        format!("{tenant_id}.{client_id}.{print}").to_ascii_lowercase()
    }

    /// Makes the chain durable if it changed, and keeps it in memory in any case.
    async fn keep(&mut self, current: NamedChain, changed: bool) {
        if changed {
            let (store, name, copy) = (
                self.store.clone(),
                current.name.clone(),
                current.chain.clone(),
            );
            let saved = tokio::task::spawn_blocking(move || store.save(&name, &copy)).await;
            let saved = saved.map_err(std::io::Error::other).flatten();
            self.report_saved(&current.name, saved);
        }
        self.chain = Some(current);
    }

    fn report_saved(&self, name: &str, saved: std::io::Result<()>) {
        let identity = &self.party().label;
        let file = self.store.path(name);
        match saved {
            Ok(()) => info!(identity, file = %file.display(), "new refresh token stored"),
            Err(error) => error!(
                identity,
                file = %file.display(),
                %error,
                "new refresh token cannot be stored: it is kept in memory only, and after a \
                 restart an older one is used; make the folder writable"
            ),
        }
    }

    async fn ask(
        &mut self,
        audience: &Audience,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, AuthError> {
        self.endpoint
            .ask(audience, &self.proof, refresh_token)
            .await
    }
}
