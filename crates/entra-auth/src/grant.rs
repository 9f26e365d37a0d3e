//! Asks the identity platform for a token, and keeps the refresh token that comes with it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Client, Response, StatusCode};
use tapline_core::Secret;
use tracing::{error, info, warn};
use zeroize::Zeroizing;

use crate::answer::Granted;
use crate::credential::{Credential, Proof, fingerprint};
use crate::http::{chain, is_tls, read_into};
use crate::refusal::Refusal;
use crate::store::{Chain, Store};
use crate::token::v2_token_url;
use crate::{Audience, AuthError};

/// How long one request may take as a whole.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A token answer is a few kilobytes; a captive portal's page is not read to its end.
const ANSWER_CAP: usize = 256 * 1024;
/// A clock that is off by less does not make an assertion invalid.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who asks whom.
pub(crate) struct Party {
    /// `tenant/client`, for logs and metrics.
    pub(crate) label: String,
    pub(crate) login_base: String,
    pub(crate) tenant_id: String,
    pub(crate) client_id: String,
}

/// One identity's way to tokens. Used by one request at a time.
pub(crate) struct Grant {
    party: Party,
    client: Client,
    credential: Credential,
    proof: Proof,
    store: Store,
    chain: Option<NamedChain>,
    /// The server's clock minus ours.
    clock: SignedDuration,
}

/// The chain in use, and what is known of it.
struct NamedChain {
    name: String,
    chain: Chain,
    /// Whether older tokens were tried too since the last success.
    exhausted: bool,
}

/// What is sent to the token endpoint.
struct Form {
    url: String,
    fields: Vec<(&'static str, Secret)>,
    secrets: Vec<Secret>,
}

impl Grant {
    pub(crate) fn new(
        party: Party,
        client: Client,
        credential: Credential,
        proof: Proof,
        data_dir: PathBuf,
    ) -> Self {
        Self {
            party,
            client,
            credential,
            proof,
            store: Store::new(&data_dir),
            chain: None,
            clock: SignedDuration::ZERO,
        }
    }

    /// Asks for a token. A new refresh token is durable before this returns.
    ///
    /// # Cancel safety
    /// Not cancel-safe: the answer may hold the only copy of the next refresh token.
    pub(crate) async fn redeem(&mut self, audience: &Audience) -> Result<Granted, AuthError> {
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
                    identity = self.party.label,
                    error = chain(&error),
                    "credential cannot be read again, using the last one"
                );
            }
            Err(error) => {
                warn!(identity = self.party.label, %error, "reading the credential was interrupted");
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
                warn!(identity = self.party.label, file = %file.display(), %error, "stored refresh token cannot be read, using the configured one");
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
        } = &self.party;
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
        let identity = &self.party.label;
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

    /// One request, and a second one if only our clock was in the way.
    async fn ask(
        &mut self,
        audience: &Audience,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, AuthError> {
        let believed = self.clock;
        let first = self.ask_once(audience, refresh_token).await;
        let clock_refused = matches!(&first, Err(error) if error.reason() == "clock");
        if clock_refused && (self.clock - believed).abs() > CLOCK_TOLERANCE {
            warn!(
                identity = self.party.label,
                clock_off_secs = self.clock.as_secs(),
                "clock of this machine is wrong, using the server's"
            );
            return self.ask_once(audience, refresh_token).await;
        }
        first
    }

    async fn ask_once(
        &mut self,
        audience: &Audience,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, AuthError> {
        let form = self.form(audience, refresh_token)?;
        let fields: Vec<(&str, &str)> = form
            .fields
            .iter()
            .map(|(name, value)| (*name, value.expose()))
            .collect();
        let request = self.client.post(&form.url).form(&fields);
        let sent = request.timeout(REQUEST_TIMEOUT).send().await;
        let response = sent.map_err(|error| self.no_answer(error))?;
        self.read(response, &form.secrets).await
    }

    fn form(&self, audience: &Audience, refresh_token: Option<&Secret>) -> Result<Form, AuthError> {
        let mut form = Form::new(audience.token_url(&self.party.login_base, &self.party.tenant_id));
        form.plain("client_id", &self.party.client_id);
        match refresh_token {
            Some(token) => {
                form.plain("grant_type", "refresh_token");
                form.secret("refresh_token", token.clone());
            }
            None => form.plain("grant_type", "client_credentials"),
        }
        match audience {
            Audience::V1Resource(resource) => form.plain("resource", resource),
            Audience::V2Scope(scope) if refresh_token.is_some() => {
                form.plain("scope", &with_offline_access(scope));
            }
            Audience::V2Scope(scope) => form.plain("scope", scope),
        }
        self.prove(&mut form)?;
        Ok(form)
    }

    fn prove(&self, form: &mut Form) -> Result<(), AuthError> {
        if let Some(secret) = &self.proof.client_secret {
            form.secret("client_secret", secret.clone());
        }
        if let Some(signer) = &self.proof.signer {
            let Party {
                login_base,
                tenant_id,
                client_id,
                ..
            } = &self.party;
            let now = Timestamp::now().saturating_add(self.clock);
            let now = now.unwrap_or_else(|_| Timestamp::now());
            let assertion = signer
                .sign(&v2_token_url(login_base, tenant_id), client_id, now)
                .map_err(|error| self.cannot_sign(&error))?;
            form.plain("client_assertion_type", ASSERTION_TYPE);
            form.secret("client_assertion", assertion);
        }
        Ok(())
    }

    async fn read(&mut self, response: Response, secrets: &[Secret]) -> Result<Granted, AuthError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let now = self.server_time(&headers);
        let mut body = Zeroizing::new(Vec::new());
        if let Err(error) = read_into(response, ANSWER_CAP, &mut body).await {
            return Err(self.unreachable("bad_answer", error.to_string()));
        }
        let refusal = Refusal {
            identity: &self.party.label,
            status,
            headers: &headers,
            body: &body,
            now,
            secrets,
        };
        if status != StatusCode::OK {
            return Err(refusal.explain());
        }
        // The reader's error is not passed on: it could repeat a part of a token.
        Granted::parse(&body)
            .map_err(|_| self.unreachable("bad_answer", refusal.not_the_platform()))
    }

    /// Learns the server's clock from an answer.
    fn server_time(&mut self, headers: &HeaderMap) -> Timestamp {
        let date = headers.get(DATE).and_then(|value| value.to_str().ok());
        let date = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
        let Some(date) = date else {
            return Timestamp::now();
        };
        self.clock = date.timestamp().duration_since(Timestamp::now());
        date.timestamp()
    }

    fn no_answer(&self, error: reqwest::Error) -> AuthError {
        let error = error.without_url();
        let reason = if is_tls(&error) {
            "tls"
        } else if error.is_timeout() {
            "timeout"
        } else {
            "connect"
        };
        let host = &self.party.login_base;
        self.unreachable(reason, format!("cannot reach {host}: {}", chain(&error)))
    }

    fn unreachable(&self, reason: &'static str, what: String) -> AuthError {
        AuthError::Unreachable {
            identity: self.party.label.clone(),
            what,
            reason,
            retry_after: Duration::ZERO,
        }
    }

    fn cannot_sign(&self, error: &jsonwebtoken::errors::Error) -> AuthError {
        AuthError::Denied {
            identity: self.party.label.clone(),
            code: "certificate".to_owned(),
            help: format!("the key cannot sign: {error}"),
            reason: "credential",
            retry_after: Duration::from_secs(60),
        }
    }
}

impl Form {
    fn new(url: String) -> Self {
        Self {
            url,
            fields: Vec::new(),
            secrets: Vec::new(),
        }
    }

    fn plain(&mut self, name: &'static str, value: &str) {
        self.fields.push((name, Secret::new(value)));
    }

    fn secret(&mut self, name: &'static str, value: Secret) {
        self.secrets.push(value.clone());
        self.fields.push((name, value));
    }
}

/// Without this scope the v2 endpoint returns no next refresh token.
fn with_offline_access(scope: &str) -> String {
    const OFFLINE: &str = "offline_access";
    if scope.split(' ').any(|part| part == OFFLINE) {
        return scope.to_owned();
    }
    format!("{scope} {OFFLINE}")
}
