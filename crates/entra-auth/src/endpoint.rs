//! Whoever gives out tokens, the platform or the machine: one request, one answer.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tapline_core::{Secret, chain};
use tracing::warn;
use zeroize::Zeroizing;

use crate::answer::Granted;
use crate::credential::Proof;
use crate::http::{is_tls, read_into};
use crate::managed::{KeyError, Machine};
use crate::refusal::Refusal;
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

/// The endpoint as one identity uses it.
pub(crate) struct Endpoint {
    party: Party,
    client: Client,
    /// The server's clock minus ours.
    clock: SignedDuration,
}

/// Who was asked, and what must not be repeated of it.
struct Asked {
    /// Without a path.
    host: String,
    secrets: Vec<Secret>,
    of_machine: bool,
}

/// What is sent to the token endpoint.
struct Form {
    url: String,
    fields: Vec<(&'static str, Secret)>,
    secrets: Vec<Secret>,
}

impl Endpoint {
    pub(crate) fn new(party: Party, client: Client) -> Self {
        Self {
            party,
            client,
            clock: SignedDuration::ZERO,
        }
    }

    /// Who asks.
    pub(crate) fn party(&self) -> &Party {
        &self.party
    }

    /// One request, and a second one if only our clock was in the way.
    pub(crate) async fn ask(
        &mut self,
        audience: &Audience,
        proof: &Proof,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, AuthError> {
        let believed = self.clock;
        let first = self.ask_once(audience, proof, refresh_token).await;
        let clock_refused = matches!(&first, Err(error) if error.reason() == "clock");
        if clock_refused && (self.clock - believed).abs() > CLOCK_TOLERANCE {
            warn!(
                identity = self.party.label,
                clock_off_secs = self.clock.as_secs(),
                "clock of this machine is wrong, using the server's"
            );
            return self.ask_once(audience, proof, refresh_token).await;
        }
        first
    }

    async fn ask_once(
        &mut self,
        audience: &Audience,
        proof: &Proof,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, AuthError> {
        let form = self.form(audience, proof, refresh_token)?;
        let fields: Vec<(&str, &str)> = form
            .fields
            .iter()
            .map(|(name, value)| (*name, value.expose()))
            .collect();
        let asked = Asked {
            host: self.party.login_base.clone(),
            secrets: form.secrets,
            of_machine: false,
        };
        let request = self.client.post(&form.url).form(&fields);
        let response = self.send(request, &asked).await?;
        self.read(response, &asked).await
    }

    /// The same, asked of the machine that we run on.
    pub(crate) async fn ask_machine(
        &mut self,
        machine: &Machine,
        audience: &Audience,
    ) -> Result<Granted, AuthError> {
        let asked = Asked {
            host: machine.address(),
            secrets: machine.secrets(),
            of_machine: true,
        };
        let request = machine.request(&self.client, audience);
        let mut response = self.send(request, &asked).await?;
        if machine.asks_for_key(&response) {
            let key = machine.key(response.headers());
            let (name, value) = key.map_err(|error| self.no_key(&error))?;
            let request = machine.request(&self.client, audience).header(name, value);
            response = self.send(request, &asked).await?;
        }
        self.read(response, &asked).await
    }

    async fn send(&self, request: RequestBuilder, asked: &Asked) -> Result<Response, AuthError> {
        let sent = request.timeout(REQUEST_TIMEOUT).send().await;
        sent.map_err(|error| self.no_answer(error, asked))
    }

    fn form(
        &self,
        audience: &Audience,
        proof: &Proof,
        refresh_token: Option<&Secret>,
    ) -> Result<Form, AuthError> {
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
        self.prove(proof, &mut form)?;
        Ok(form)
    }

    fn prove(&self, proof: &Proof, form: &mut Form) -> Result<(), AuthError> {
        if let Some(secret) = &proof.client_secret {
            form.secret("client_secret", secret.clone());
        }
        if let Some(signer) = &proof.signer {
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
        if let Some(token) = &proof.federated_token {
            form.plain("client_assertion_type", ASSERTION_TYPE);
            form.secret("client_assertion", token.clone());
        }
        Ok(())
    }

    async fn read(&mut self, response: Response, asked: &Asked) -> Result<Granted, AuthError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let now = self.server_time(&headers);
        let mut body = Zeroizing::new(Vec::new());
        if let Err(error) = read_into(response, ANSWER_CAP, &mut body).await {
            return Err(self.unreachable("bad_answer", error.to_string()));
        }
        let refusal = Refusal {
            identity: &self.party.label,
            host: &asked.host,
            status,
            headers: &headers,
            body: &body,
            now,
            secrets: &asked.secrets,
            of_machine: asked.of_machine,
        };
        if status != StatusCode::OK {
            return Err(refusal.explain());
        }
        // The reader's error is not passed on: it could repeat a part of a token.
        Granted::parse(&body, now)
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

    fn no_answer(&self, error: reqwest::Error, asked: &Asked) -> AuthError {
        let error = error.without_url();
        let reason = if is_tls(&error) {
            "tls"
        } else if error.is_timeout() {
            "timeout"
        } else {
            "connect"
        };
        let hint = match asked.of_machine {
            true => "; only machines in Azure, or connected to it, have a managed identity",
            false => "",
        };
        let (host, error) = (&asked.host, chain(&error));
        self.unreachable(reason, format!("cannot reach {host}: {error}{hint}"))
    }

    fn no_key(&self, error: &KeyError) -> AuthError {
        AuthError::Denied {
            identity: self.party.label.clone(),
            code: "managed_identity".to_owned(),
            help: error.to_string(),
            reason: "credential",
            retry_after: Duration::from_secs(60),
        }
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
