//! An identity platform on loopback that gives scripted answers and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tapline_core::{BuildContext, ComponentKind};
use tapline_entra_auth::{Audience, IdentityConfig, TokenPool, TokenProvider};
use tapline_testkit::build_context;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
pub(crate) const SECRET: &str = "se+cr/et~=&value";

/// One answer of the script.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    pub(crate) fn text(status: u16, content_type: &str, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.to_owned(),
        }
    }

    /// A token of the v2 endpoint, good for an hour.
    pub(crate) fn token(token: &str) -> Self {
        Self::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}),
        )
    }

    /// The same with the next refresh token.
    pub(crate) fn rotated(token: &str, refresh_token: &str) -> Self {
        Self::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": "3599", "expires_on": "1",
                    "access_token": token, "refresh_token": refresh_token}),
        )
    }

    pub(crate) fn refusal(error: &str, code: u64) -> Self {
        let description = format!("AADSTS{code}: no.\r\nTrace ID: t\r\nTimestamp: x");
        Self::json(
            400,
            &json!({"error": error, "error_description": description, "error_codes": [code],
                    "trace_id": "0000-1111"}),
        )
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("a status");
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).expect("a header value");
            headers.insert(HeaderName::from_static(name), value);
        }
        (status, headers, self.body).into_response()
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) form: HashMap<String, String>,
    pub(crate) headers: HeaderMap,
}

struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Asked>>,
    /// One permit is taken for each answer.
    gate: Semaphore,
}

/// The server, alive as long as the test.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) base: String,
    script: Arc<Script>,
}

impl Stub {
    /// Serves the answers in order; a request beyond them is answered 418.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Script {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
            gate: Semaphore::new(1000),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, script }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().expect("not poisoned").clone()
    }

    /// The values of one form field over all requests.
    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        let asked = self.asked();
        let values = asked.iter().map(|asked| asked.form.get(name).cloned());
        values.map(Option::unwrap_or_default).collect()
    }

    /// Holds answers back until [`Stub::open`].
    pub(crate) fn close(&self) {
        self.script.gate.forget_permits(1000);
    }

    pub(crate) fn open(&self) {
        self.script.gate.add_permits(1000);
    }
}

async fn answer(
    State(script): State<Arc<Script>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Answer {
    script.asked.lock().expect("not poisoned").push(Asked {
        path: uri.path().to_owned(),
        query: pairs(uri.query().unwrap_or_default()),
        form: pairs(&body),
        headers,
    });
    let permit = script.gate.acquire().await.expect("never closed");
    permit.forget();
    let next = script.answers.lock().expect("not poisoned").pop_front();
    next.unwrap_or_else(|| Answer::text(418, "text/plain", "the script is over"))
}

/// Pairs as a form or the query of an address writes them.
fn pairs(text: &str) -> HashMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://form/?{text}")).expect("pairs");
    url.query_pairs().into_owned().collect()
}

/// What one process has: data folder, metrics, shared things.
pub(crate) fn process(data_dir: &Path) -> BuildContext {
    build_context(ComponentKind::Source, "test", "test", data_dir)
}

pub(crate) fn identity(proofs: Value) -> IdentityConfig {
    let mut config = json!({"tenant_id": TENANT, "client_id": CLIENT});
    let fields = config.as_object_mut().expect("an object");
    fields.extend(proofs.as_object().expect("an object").clone());
    serde_json::from_value(config).expect("an identity")
}

pub(crate) fn with_secret() -> IdentityConfig {
    identity(json!({"client_secret": SECRET}))
}

pub(crate) fn with_refresh_token(token: &str) -> IdentityConfig {
    identity(json!({"refresh_token": token}))
}

pub(crate) fn provider(
    stub: &Stub,
    identity: &IdentityConfig,
    cx: &BuildContext,
) -> Arc<TokenProvider> {
    let pool = cx.shared.get_or_init(TokenPool::default);
    let provider = pool.provider(identity, &stub.base, cx);
    provider.expect("the identity is good")
}

pub(crate) fn graph() -> Audience {
    Audience::V2Scope("https://graph.example/.default".to_owned())
}

pub(crate) fn siem() -> Audience {
    Audience::V1Resource("https://siem.example".to_owned())
}

/// The metrics page.
pub(crate) fn metrics(cx: &BuildContext) -> String {
    String::from_utf8(cx.metrics.process().render()).expect("text")
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(file: &Path, text: &str) {
    std::fs::write(file, text).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file, private).expect("private");
    }
}
