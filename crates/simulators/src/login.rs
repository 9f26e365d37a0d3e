//! The identity platform: token endpoints of both generations.

use crate::answer::{Answer, Asked, json, set_header};
use crate::serve::Api;
use crate::tokens::{Audience, Refresh, Tokens, guid};
use crate::wire::{Wire, decode_pairs};
use http::{Method, StatusCode};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod handle;
mod refused;

pub use handle::LoginHandle;
use refused::Refused;

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
    rules: Mutex<Rules>,
}

#[derive(Debug)]
struct Rules {
    tenants: HashSet<String>,
    expires_in: u64,
    secret_expired: bool,
    numbers: Numbers,
}

/// The two generations of the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    V1,
    V2,
}

/// The fields of a token request.
struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
            .filter(|value| !value.is_empty())
    }

    fn need(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or_else(|| Refused::missing(name))
    }
}

/// What a token is asked for.
struct Target {
    audience: Audience,
    /// The App ID URI (v1) or the scopes (v2) as asked.
    text: String,
    /// Whether a refresh token is wanted beside it.
    offline: bool,
}

impl Login {
    pub(crate) fn new(
        wire: Wire,
        tokens: Arc<Tokens>,
        application: Application,
        tenant: &str,
    ) -> Self {
        let rules = Rules {
            tenants: HashSet::from([tenant.to_owned()]),
            expires_in: EXPIRES_IN,
            secret_expired: false,
            numbers: Numbers::AsDocumented,
        };
        Self {
            wire,
            tokens,
            application,
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
        let token = self.tokens.issue(
            &tenant.to_ascii_lowercase(),
            target.audience,
            Duration::from_secs(lives),
        );
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

fn read_form(asked: &Asked) -> Result<Form, Refused> {
    if asked.method != Method::POST {
        return Err(Refused::only_post(&asked.method));
    }
    let declared = asked
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let text = std::str::from_utf8(&asked.body)
        .ok()
        .filter(|text| is_form(text));
    match text {
        Some(text) if declared.starts_with("application/x-www-form-urlencoded") => {
            Ok(Form(decode_pairs(text)))
        }
        _ => Err(Refused::missing("grant_type")),
    }
}

/// Whether a body can be a form: no raw blanks or control characters, nothing beyond ASCII, whole percent codes.
fn is_form(text: &str) -> bool {
    let whole =
        |code: &str| code.len() >= 2 && code.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    text.bytes().all(|byte| byte.is_ascii_graphic()) && text.split('%').skip(1).all(whole)
}

fn target(form: &Form, generation: Generation, application_only: bool) -> Result<Target, Refused> {
    match (generation, form.get("resource")) {
        (Generation::V2, Some(_)) => Err(Refused::resource_on_v2()),
        (Generation::V2, None) => scope_target(form, application_only),
        (Generation::V1, None) => Err(Refused::missing("resource")),
        (Generation::V1, Some(resource)) => {
            let audience =
                Audience::of(resource).ok_or_else(|| Refused::unknown_resource(resource))?;
            Ok(Target {
                audience,
                text: resource.to_owned(),
                offline: !application_only,
            })
        }
    }
}

/// Client credentials ask for `/.default` of one resource; a user's scopes may name single permissions, or nothing at all.
fn scope_target(form: &Form, application_only: bool) -> Result<Target, Refused> {
    let Some(scope) = form.get("scope") else {
        let original = Target {
            audience: Audience::Graph,
            text: "https://graph.microsoft.com/.default".into(),
            offline: true,
        };
        return if application_only {
            Err(Refused::missing("scope"))
        } else {
            Ok(original)
        };
    };
    let about_sign_in =
        |word: &&str| ["offline_access", "openid", "profile", "email"].contains(word);
    let wanted: Vec<&str> = scope
        .split_whitespace()
        .filter(|word| !about_sign_in(word))
        .collect();
    let resource = match wanted[..] {
        [one] => one.strip_suffix("/.default").or_else(|| {
            if application_only {
                None
            } else {
                Some(one.rsplit_once('/')?.0)
            }
        }),
        [first, ..] if !application_only => first.rsplit_once('/').map(|parts| parts.0),
        _ => None,
    };
    let resource = resource.ok_or_else(|| Refused::bad_scope(scope))?;
    let audience = Audience::of(resource).ok_or_else(|| Refused::unknown_resource(resource))?;
    Ok(Target {
        audience,
        text: scope.to_owned(),
        offline: scope
            .split_whitespace()
            .any(|word| word == "offline_access"),
    })
}
