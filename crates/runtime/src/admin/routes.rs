//! What the admin HTTP answers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::json;
use tapline_core::metrics::Metrics;

use super::guard::{self, Guard};
use super::operator::{self, Operator};
use crate::status::{State as Doing, StatusBoard};

/// What answers are made from.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) metrics: Metrics,
    pub(super) board: StatusBoard,
    pub(super) operator: Operator,
}

/// Everything under the admin address.
pub(super) fn router(shown: Shown, guard: Guard) -> Router {
    Router::new()
        .route(
            "/",
            get(|| file("text/html; charset=utf-8", include_str!("page.html"))),
        )
        .route(
            "/page.js",
            get(|| file("text/javascript; charset=utf-8", include_str!("page.js"))),
        )
        .route(
            "/page.css",
            get(|| file("text/css; charset=utf-8", include_str!("page.css"))),
        )
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/api/v1/status", get(status))
        .route("/api/v1/state", get(operator::show))
        .route("/api/v1/state/export", get(operator::export))
        .route("/api/v1/state/rewind", post(operator::rewind))
        .route("/api/v1/state/set", post(operator::set))
        .route("/api/v1/state/import", post(operator::import))
        .route("/api/v1/reload", post(operator::reload))
        .layer(DefaultBodyLimit::max(operator::MAX_BODY))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(
            Arc::new(guard),
            guard::guard,
        ))
        .with_state(shown)
}

async fn file(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    // Source: Prometheus documentation, "Exposition formats", text format 0.0.4.
    let content_type = "text/plain; version=0.0.4";
    ([(CONTENT_TYPE, content_type)], shown.metrics.render()).into_response()
}

async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

/// Ready while the pipeline takes in and delivers; what is wrong outside is not asked here.
async fn ready(State(shown): State<Shown>) -> Response {
    let state = shown.board.state();
    if matches!(state, Doing::Running | Doing::Degraded) {
        return Json(json!({ "status": "ready" })).into_response();
    }
    let reason = format!("the pipeline is {}", state.as_str());
    let body = json!({ "status": "not_ready", "reasons": [reason] });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn status(State(shown): State<Shown>) -> Response {
    Json(shown.board.snapshot()).into_response()
}

async fn unknown() -> Response {
    let body = json!({ "error": "nothing is here; see /, /metrics, /health/ready, /api/v1/status, /api/v1/state" });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}
