//! The identity platform: token endpoints of both generations.

use crate::answer::{Answer, Asked, json, set_header};
use crate::serve::Api;
use crate::tokens::{Refresh, Tokens, guid};
use crate::wire::Wire;
use http::{Method, StatusCode};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod form;
mod handle;
mod refused;
mod signing;

use form::{Form, Generation, Target, read_form, target};
pub use handle::LoginHandle;
use refused::Refused;
use signing::{Claims, SigningKey, configuration};

/// Life of an access token in seconds, as the documentation's samples show it.
const EXPIRES_IN: u64 = 3599;

/// How the numbers of a token answer are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// Text from the v1 endpoint, numbers from the v2 endpoint.
    AsDocumented,
    Text,
    Plain,
}

/// The application that both sides know.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

/// The simulated identity platform.
#[derive(Debug)]
pub(crate) struct Login {
    wire: Wire,
    tokens: Arc<Tokens>,
    application: Application,
    /// Its own address, without a path.
    base: String,
    rules: Mutex<Rules>,
}

#[derive(Debug)]
struct Rules {
    tenants: HashSet<String>,
    expires_in: u64,
    secret_expired: bool,
    /// Whether tokens are signed with a key that the platform does not have.
    forged: bool,
    numbers: Numbers,
}

impl Login {
    pub(crate) fn new(
        wire: Wire,
        tokens: Arc<Tokens>,
        application: Application,
        base: String,
        tenant: &str,
    ) -> Self {
        let rules = Rules {
            tenants: HashSet::from([tenant.to_owned()]),
            expires_in: EXPIRES_IN,
            secret_expired: false,
            forged: false,
            numbers: Numbers::AsDocumented,
        };
        Self {
            wire,
            tokens,
            application,
            base,
            rules: Mutex::new(rules),
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(
        &self,
        asked: &Asked,
        tenant: &str,
        generation: Generation,
    ) -> Result<Answer, Refused> {
        let form = read_form(asked)?;
        self.check_tenant(tenant)?;
        let grant = form.need("grant_type")?;
        self.check_client(form.need("client_id")?)?;
        match grant {
            "client_credentials" => self.client_credentials(&form, tenant, generation),
            "refresh_token" => self.refresh(&form, tenant, generation),
            other => Err(Refused::unsupported_grant(other)),
        }
    }

    fn client_credentials(
        &self,
        form: &Form,
        tenant: &str,
        generation: Generation,
    ) -> Result<Answer, Refused> {
        self.check_secret(form)?;
        let target = target(form, generation, true)?;
        Ok(self.success(tenant, generation, &target, None))
    }

    /// Gives a new refresh token at each use. The old one stays good until it is revoked.
    /// Source: entra-docs, "refresh tokens", seen 2026-09.
    fn refresh(
        &self,
        form: &Form,
        tenant: &str,
        generation: Generation,
    ) -> Result<Answer, Refused> {
        let shown = form.need("refresh_token")?;
        // the application is registered as both confidential and public: a secret is not needed here, but must be right
        if form.get("client_secret").is_some() || form.get("client_assertion").is_some() {
            self.check_secret(form)?;
        }
        match self.tokens.refresh_state(shown) {
            Refresh::Good => {}
            Refresh::Revoked => return Err(Refused::revoked()),
            Refresh::Unknown => return Err(Refused::bad_refresh_token()),
        }
        let target = target(form, generation, false)?;
        let next = target.offline.then(|| self.tokens.issue_refresh());
        Ok(self.success(tenant, generation, &target, next))
    }

    fn check_tenant(&self, tenant: &str) -> Result<(), Refused> {
        let known = self
            .rules()
            .tenants
            .iter()
            .any(|known| known.eq_ignore_ascii_case(tenant));
        match tenant {
            "common" | "organizations" | "consumers" => Err(Refused::tenant_needed()),
            _ if known => Ok(()),
            _ => Err(Refused::unknown_tenant(tenant)),
        }
    }

    fn check_client(&self, client: &str) -> Result<(), Refused> {
        if client.eq_ignore_ascii_case(&self.application.client_id) {
            Ok(())
        } else {
            Err(Refused::unknown_client(client))
        }
    }

    /// No certificate is registered for the application, so that no assertion can be right.
    fn check_secret(&self, form: &Form) -> Result<(), Refused> {
        if form.get("client_assertion").is_some() {
            return Err(Refused::assertion());
        }
        let secret = form
            .get("client_secret")
            .ok_or_else(Refused::secret_missing)?;
        if secret != self.application.client_secret {
            return Err(Refused::wrong_secret());
        }
        if self.rules().secret_expired {
            Err(Refused::secret_expired())
        } else {
            Ok(())
        }
    }

    /// A forged token is one that nobody gave out.
    fn access_token(&self, tenant: &str, target: &Target, lives: u64) -> String {
        let claims = Claims {
            tenant,
            client: &self.application.client_id,
            resource: &target.resource,
            lives,
        };
        if self.rules().forged {
            return SigningKey::foreign().sign(&claims);
        }
        let token = SigningKey::ours().sign(&claims);
        let lives = Duration::from_secs(lives);
        self.tokens.issue(&token, tenant, target.audience, lives);
        token
    }

    /// What is public: where the keys are, and the keys.
    fn public(&self, tenant: &str, path: &[&str]) -> Option<Answer> {
        let body = match path {
            [".well-known", "openid-configuration"]
            | ["v2.0", ".well-known", "openid-configuration"] => configuration(&self.base, tenant),
            ["discovery", "keys"] | ["discovery", "v2.0", "keys"] => SigningKey::ours().key_set(),
            _ => return None,
        };
        Some(json(StatusCode::OK, body.to_string()))
    }

    fn success(
        &self,
        tenant: &str,
        generation: Generation,
        target: &Target,
        refresh: Option<String>,
    ) -> Answer {
        let (lives, numbers) = {
            let rules = self.rules();
            (rules.expires_in, rules.numbers)
        };
        let token = self.access_token(&tenant.to_ascii_lowercase(), target, lives);
        let as_text = numbers == Numbers::Text
            || numbers == Numbers::AsDocumented && generation == Generation::V1;
        let number = |value: u64| {
            if as_text {
                Value::from(value.to_string())
            } else {
                Value::from(value)
            }
        };
        let mut body = Map::new();
        body.insert("token_type".into(), "Bearer".into());
        body.insert("expires_in".into(), number(lives));
        body.insert("ext_expires_in".into(), number(lives));
        if generation == Generation::V1 {
            let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
            body.insert("expires_on".into(), number(now + lives));
            body.insert("not_before".into(), number(now.saturating_sub(300)));
            body.insert("resource".into(), target.text.as_str().into());
        } else if refresh.is_some() {
            body.insert("scope".into(), target.text.as_str().into());
        }
        body.insert("access_token".into(), token.into());
        body.extend(refresh.map(|token| ("refresh_token".to_owned(), token.into())));
        uncached(json(StatusCode::OK, Value::Object(body).to_string()))
    }
}

impl Api for Login {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let segments: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        let (tenant, generation) = match segments[..] {
            [tenant, "oauth2", "token"] => (tenant, Generation::V1),
            [tenant, "oauth2", "v2.0", "token"] => (tenant, Generation::V2),
            [tenant, ref path @ ..] if asked.method == Method::GET => {
                let public = self.public(tenant, path);
                return public.unwrap_or_else(|| json(StatusCode::NOT_FOUND, ""));
            }
            _ => return json(StatusCode::NOT_FOUND, ""),
        };
        self.token(asked, tenant, generation)
            .unwrap_or_else(|refused| uncached(refused.answer()))
    }

    fn refusal(&self, _: &Asked, status: StatusCode) -> Answer {
        // a token endpoint has no token to refuse: what is 401 elsewhere is an outage here
        let status = if status == StatusCode::UNAUTHORIZED {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            status
        };
        uncached(Refused::outage(status).answer())
    }
}

fn uncached(mut answer: Answer) -> Answer {
    set_header(&mut answer, "cache-control", "no-store, no-cache");
    set_header(&mut answer, "x-ms-request-id", &guid());
    answer
}
