//! Answers without a token: told apart, said once, and not asked for in a loop.

use tapline_entra_auth::AuthError;
use tapline_testkit::LogCapture;

use crate::stub::{
    Answer, SECRET, Stub, graph, metrics, process, provider, with_refresh_token, with_secret,
};

/// The error of one answer, which must also be what the next caller gets without a request.
async fn check(answer: Answer, denied: bool, reason: &str) -> AuthError {
    let stub = Stub::start([answer]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let cx = process(dir.path());
    let provider = provider(&stub, &with_secret(), &cx);
    let error = provider.token(&graph()).await.expect_err("no token");
    let again = provider.token(&graph()).await.expect_err("no token");
    assert_eq!(
        (error.is_denied(), error.reason()),
        (denied, reason),
        "{error}"
    );
    assert_eq!(error.to_string(), again.to_string());
    assert_eq!(stub.asked().len(), 1, "asked again at once");
    let outcome = if denied { "denied" } else { "unreachable" };
    let text = metrics(&cx);
    assert!(
        text.contains(&format!(r#"outcome="{outcome}"}} 1"#)),
        "{text}"
    );
    error
}

#[tokio::test]
async fn an_expired_secret_says_what_to_do() {
    let error = check(
        Answer::refusal("invalid_client", 7_000_222),
        true,
        "credential",
    )
    .await;
    for part in [
        "AADSTS7000222",
        "expired",
        "make a new one",
        "trace id 0000-1111",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let wait = error.retry_after().expect("a wait").as_secs();
    assert!((60..=66).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_wrong_secret_names_the_usual_mistake() {
    let error = check(
        Answer::refusal("invalid_client", 7_000_215),
        true,
        "credential",
    )
    .await;
    assert!(error.to_string().contains("not its id"), "{error}");
}

#[tokio::test]
async fn a_page_of_somebody_else_is_not_taken_for_the_platform() {
    for status in [200, 302, 403] {
        let page = Answer::text(status, "text/html; charset=utf-8", "<html>Sign in</html>");
        let page = page.header("location", "http://127.0.0.1:1/elsewhere");
        let error = check(page, false, "bad_answer").await;
        assert!(error.to_string().contains("proxy"), "{error}");
        assert!(!error.to_string().contains("Sign in"), "{error}");
    }
}

#[tokio::test]
async fn half_an_answer_is_not_a_token() {
    let half = Answer::text(200, "application/json", r#"{"access_token":"hunter2"#);
    let error = check(half, false, "bad_answer").await;
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let endless = Answer::text(200, "application/json", &" ".repeat(1 << 20));
    let error = check(endless, false, "bad_answer").await;
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[tokio::test]
async fn an_overloaded_platform_is_given_the_time_it_asks_for() {
    for status in [429, 503] {
        let busy = Answer::text(status, "text/plain", "").header("retry-after", "17.5");
        let reason = if status == 429 {
            "throttled"
        } else {
            "server_error"
        };
        let error = check(busy, false, reason).await;
        let wait = error.retry_after().expect("a wait").as_secs_f64();
        assert!((17.5..20.0).contains(&wait), "{wait}");
    }
}

#[tokio::test]
async fn a_dead_chain_is_tried_through_once_and_then_only_at_its_end() {
    let dead = || Answer::refusal("invalid_grant", 700_082);
    let stub = Stub::start([Answer::rotated("A1", "R2"), dead(), dead()]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let config = with_refresh_token("R1");
    let first = provider(&stub, &config, &process(dir.path()));
    first.token(&graph()).await.expect("granted");
    let second = provider(&stub, &config, &process(dir.path()));
    let error = second.token(&graph()).await.expect_err("denied");
    assert_eq!(error.reason(), "reauthenticate");
    assert!(error.to_string().contains("sign in again"), "{error}");
    assert_eq!(stub.fields("refresh_token"), ["R1", "R2", "R1"]);
}

#[tokio::test]
async fn no_secret_is_in_any_log_error_or_debug_text() {
    let logs = LogCapture::start();
    let refusal = Answer::text(
        400,
        "application/json",
        &format!(r#"{{"error":"invalid_client","error_description":"AADSTS1: got {SECRET}"}}"#),
    );
    let stub = Stub::start([
        Answer::rotated("access-hunter2", "refresh-hunter2"),
        Answer::token("access-hunter3"),
        refusal,
    ])
    .await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let config = crate::stub::identity(
        serde_json::json!({"client_secret": SECRET, "refresh_token": "first-hunter2"}),
    );
    let cx = process(dir.path());
    let provider = provider(&stub, &config, &cx);
    let mut shown = format!("{config:?} {provider:?}");
    for _ in 0..2 {
        let token = provider.token(&graph()).await.expect("granted");
        shown.push_str(&format!("{token:?}"));
        provider.refused(&graph(), &token);
    }
    let error = provider.token(&graph()).await.expect_err("refused");
    shown.push_str(&format!("{error} {error:?} {}", metrics(&cx)));
    for secret in ["hunter", SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
    logs.assert_absent(&["hunter", SECRET, "se%2Bcr"]);
    assert_eq!(
        logs.text()
            .matches("secret stands in the pipeline file")
            .count(),
        2
    );
}
