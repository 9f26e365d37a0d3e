//! What the admin HTTP does on somebody's behalf: looking at the state of partitions, moving it, and
//! having the pipeline file loaded again.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::routes::Shown;
use crate::run::Reloaded;
use crate::state::{Changed, Document, Placement, Rewind, StateDesk, StateError};

/// Larger documents are imported while no process runs.
pub(super) const MAX_BODY: usize = 64 << 20;

/// What can be done with a running pipeline; filled in once it runs. Cheap to clone.
#[derive(Clone, Default)]
pub struct Operator(Arc<OnceLock<Controls>>);

/// Handles of a running pipeline.
pub struct Controls {
    /// Its durable state.
    pub state: StateDesk,
    /// Whoever can load the pipeline file again.
    pub reload: mpsc::Sender<ReloadRequest>,
}

/// A wish to load the pipeline file again; answered once what had to end has ended.
pub type ReloadRequest = oneshot::Sender<ReloadAnswer>;
/// What changed, or everything that is wrong, one line each.
pub type ReloadAnswer = Result<Reloaded, Vec<String>>;

impl Operator {
    /// The pipeline runs from now on; only the first call counts.
    pub fn runs(&self, controls: Controls) {
        // A pipeline is started once per operator.
        let _first = self.0.set(controls);
    }

    fn controls(&self) -> Result<&Controls, Failure> {
        self.0.get().ok_or_else(|| {
            let text = "the pipeline does not run yet; ask again in a moment";
            Failure(StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        })
    }
}

/// An answer that says why not.
pub(super) struct Failure(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let status = match error {
            StateError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            StateError::Refused(_) => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}

pub(super) async fn show(State(shown): State<Shown>) -> Result<Response, Failure> {
    let state = &shown.operator.controls()?.state;
    Ok(Json(state.show().await?).into_response())
}

pub(super) async fn export(State(shown): State<Shown>) -> Result<Response, Failure> {
    let state = &shown.operator.controls()?.state;
    Ok(Json(state.export().await?).into_response())
}

pub(super) async fn rewind(
    State(shown): State<Shown>,
    body: Bytes,
) -> Result<Json<Changed>, Failure> {
    let wanted: Rewind = read(&body)?;
    let state = shown.operator.controls()?.state.clone();
    to_its_end(async move { state.rewind(&wanted).await }).await
}

pub(super) async fn set(State(shown): State<Shown>, body: Bytes) -> Result<Json<Changed>, Failure> {
    let wanted: Placement = read(&body)?;
    let state = shown.operator.controls()?.state.clone();
    to_its_end(async move { state.set(wanted).await }).await
}

pub(super) async fn import(
    State(shown): State<Shown>,
    body: Bytes,
) -> Result<Json<Changed>, Failure> {
    let wrong = |why| Failure(StatusCode::BAD_REQUEST, format!("the document {why}"));
    let document = Document::parse(&body).map_err(wrong)?;
    let state = shown.operator.controls()?.state.clone();
    to_its_end(async move { state.import(document).await }).await
}

/// A change goes on also when whoever asked for it hangs up: half of it would be none.
async fn to_its_end(
    change: impl Future<Output = Result<Changed, StateError>> + Send + 'static,
) -> Result<Json<Changed>, Failure> {
    match tokio::spawn(change).await {
        Ok(changed) => Ok(Json(changed?)),
        Err(error) => Err(Failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
        )),
    }
}

pub(super) async fn reload(State(shown): State<Shown>) -> Result<Response, Failure> {
    let (request, answer) = oneshot::channel();
    let reload = &shown.operator.controls()?.reload;
    let stopping = |_| {
        let text = "the pipeline is stopping".to_owned();
        Failure(StatusCode::SERVICE_UNAVAILABLE, text)
    };
    reload.send(request).await.map_err(|_| stopping(()))?;
    match answer.await.map_err(|_| stopping(()))? {
        Ok(reloaded) => Ok(Json(reloaded).into_response()),
        Err(lines) => {
            let error = "the changed file was not applied; the pipeline runs on as it was";
            let body = json!({ "error": error, "mistakes": lines });
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response())
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let text = format!("the request cannot be read: {error}");
        Failure(StatusCode::BAD_REQUEST, text)
    })
}
