//! Answers as Graph words them.

use super::list::Page;
use crate::answer::{Answer, Asked, json, set_header};
use crate::generator::enums;
use crate::tokens::TokenProblem;
use crate::tokens::guid;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// The root in `@odata.context`, whatever the server's own address is.
const ROOT: &str = "https://graph.microsoft.com";

/// A page of rows, put together from the bodies as they are.
pub(super) fn page(asked: &Asked, context: &str, page: &Page, link: Option<&str>) -> Answer {
    let length: usize = page.rows.iter().map(|row| row.1.len() + 1).sum();
    let mut out = Vec::with_capacity(length + 1_024);
    out.extend_from_slice(
        format!("{{\"@odata.context\":\"{ROOT}/v1.0/$metadata#{context}\",").as_bytes(),
    );
    if let Some(count) = page.count {
        out.extend_from_slice(format!("\"@odata.count\":{count},").as_bytes());
    }
    if let Some(link) = link {
        out.extend_from_slice(format!("\"@odata.nextLink\":{},", Value::from(link)).as_bytes());
    }
    out.extend_from_slice(b"\"value\":[");
    join(page.rows.iter().map(|row| &row.1), &mut out);
    out.extend_from_slice(b"]}");
    ok(asked, out)
}

/// One record.
pub(super) fn object(asked: &Asked, body: Bytes) -> Answer {
    ok(asked, body)
}

/// An incident's body with its alerts inside. A body that is no object stays as it is.
pub(super) fn with_alerts(incident: &Bytes, id: &str, alerts: &[Bytes]) -> Bytes {
    let Some(open) = incident.strip_suffix(b"}") else {
        return incident.clone();
    };
    let mut out =
        Vec::with_capacity(open.len() + alerts.iter().map(Bytes::len).sum::<usize>() + 256);
    out.extend_from_slice(open);
    let context = format!("{ROOT}/v1.0/$metadata#security/incidents('{id}')/alerts");
    out.extend_from_slice(
        format!(",\"alerts@odata.context\":\"{context}\",\"alerts\":[").as_bytes(),
    );
    join(alerts.iter(), &mut out);
    out.extend_from_slice(b"]}");
    out.into()
}

/// The error envelope.
/// Source: microsoft-graph-docs, "errors"; the spelling `innerError` as in practice.
pub(super) fn error(asked: &Asked, status: StatusCode, code: &str, message: &str) -> Answer {
    let mut inner = json!({"date": now(), "request-id": guid()});
    if let Some(client) = asked
        .headers
        .get("client-request-id")
        .and_then(|value| value.to_str().ok())
    {
        inner["client-request-id"] = client.into();
    }
    let body = json!({"error": {"code": code, "message": message, "innerError": inner}});
    identified(asked, json(status, body.to_string()))
}

pub(super) fn unauthorized(asked: &Asked, problem: TokenProblem) -> Answer {
    let message = match problem {
        TokenProblem::Missing => "Access token is empty.",
        TokenProblem::Unknown => "Access token validation failure.",
        TokenProblem::Expired => "Lifetime validation failed, the token is expired.",
        TokenProblem::WrongAudience => "Access token validation failure. Invalid audience.",
    };
    let mut answer = error(
        asked,
        StatusCode::UNAUTHORIZED,
        "InvalidAuthenticationToken",
        message,
    );
    set_header(
        &mut answer,
        "www-authenticate",
        "Bearer realm=\"\", client_id=\"00000003-0000-0000-c000-000000000000\"",
    );
    answer
}

/// 429 in the form that the throttling page shows.
pub(super) fn throttled(asked: &Asked) -> Answer {
    let message = "Too many requests.";
    let inner = json!({"code": "429", "date": now(), "message": message, "request-id": guid(), "status": "429"});
    let body =
        json!({"error": {"code": "TooManyRequests", "message": message, "innerError": inner}});
    identified(asked, json(StatusCode::TOO_MANY_REQUESTS, body.to_string()))
}

/// 429 with a wait.
pub(super) fn too_many(asked: &Asked, wait: Duration) -> Answer {
    let mut answer = throttled(asked);
    set_header(
        &mut answer,
        "retry-after",
        &format!("{:.3}", wait.as_secs_f64() + 0.001),
    );
    answer
}

/// Writes `unknownFutureValue` for every enum member behind the sentinel, as for clients that did not ask for them.
/// What is no JSON stays as it is.
pub(super) fn masked(answer: Answer) -> Answer {
    answer.map(|body| match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) => {
            mask(&mut value);
            value.to_string().into()
        }
        Err(_) => body,
    })
}

fn mask(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if enums::is_behind_sentinel(name, text) => {
                        *text = "unknownFutureValue".into()
                    }
                    member => mask(member),
                }
            }
        }
        _ => {}
    }
}

fn join<'a>(bodies: impl Iterator<Item = &'a Bytes>, out: &mut Vec<u8>) {
    for (n, body) in bodies.enumerate() {
        out.extend_from_slice(if n == 0 { b"" } else { b"," });
        out.extend_from_slice(body);
    }
}

fn ok(asked: &Asked, body: impl Into<Bytes>) -> Answer {
    identified(asked, json(StatusCode::OK, body))
}

fn identified(asked: &Asked, mut answer: Answer) -> Answer {
    set_header(&mut answer, "request-id", &guid());
    if let Some(client) = asked
        .headers
        .get("client-request-id")
        .and_then(|value| value.to_str().ok())
    {
        set_header(&mut answer, "client-request-id", client);
    }
    answer
}

fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S")
        .to_string()
}
