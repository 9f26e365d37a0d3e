//! The way to the platform is broken.

use tapline_core::BuildContext;
use tapline_entra_auth::{TokenPool, http};

use crate::stub::{Answer, Stub, graph, process, with_secret};

async fn check(base: &str, cx: &BuildContext, reason: &str) {
    let pool = cx.shared.get_or_init(TokenPool::default);
    let provider = pool.provider(&with_secret(), base, cx).expect("built");
    let error = provider.token(&graph()).await.expect_err("no token");
    assert_eq!(
        (error.is_denied(), error.reason()),
        (false, reason),
        "{error}"
    );
    assert!(error.to_string().contains(base), "{error}");
}

#[tokio::test]
async fn nobody_listening_and_a_broken_handshake_are_told_apart() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cx = process(dir.path());
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    check(&format!("http://127.0.0.1:{port}"), &cx, "connect").await;
    let stub = Stub::start([]).await;
    check(&stub.base.replace("http://", "https://"), &cx, "tls").await;
}

#[tokio::test]
async fn a_login_address_that_would_carry_secrets_in_clear_is_refused() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cx = process(dir.path());
    let pool = TokenPool::default();
    let refused = pool.provider(&with_secret(), "http://login.example", &cx);
    assert_eq!(refused.expect_err("refused").path, "endpoints.login");
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_stops_the_start() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cx = process(dir.path());
    let config =
        crate::stub::identity(serde_json::json!({"client_secret": {"env": "TAPLINE_TEST_UNSET"}}));
    let refused = TokenPool::default().provider(&config, "https://login.example", &cx);
    let error = refused.expect_err("refused");
    assert_eq!(error.path, "identity.client_secret");
    assert!(error.source.to_string().contains("TAPLINE_TEST_UNSET"));
}

#[tokio::test]
async fn a_body_is_read_up_to_its_cap_and_redirects_are_not_followed() {
    let moved = Answer::text(307, "text/plain", "12345").header("location", "/elsewhere");
    let stub = Stub::start([moved, Answer::text(200, "text/plain", "12345")]).await;
    let client = http::client(&tapline_core::NetworkSettings::default()).expect("built");
    let get = || async { client.get(&stub.base).send().await.expect("answered") };
    let body = http::read_capped(get().await, 5)
        .await
        .expect("small enough");
    assert_eq!(&body[..], b"12345");
    assert_eq!(stub.asked().len(), 1);
    let refused = http::read_capped(get().await, 4).await;
    assert!(matches!(refused, Err(http::ReadError::TooLarge { cap: 4 })));
}
