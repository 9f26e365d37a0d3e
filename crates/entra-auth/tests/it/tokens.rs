//! One token for everyone who asks.

use futures_util::future::join_all;
use tapline_entra_auth::{Audience, TokenPool};

use crate::stub::{
    Answer, CLIENT, SECRET, Stub, TENANT, graph, metrics, process, provider, siem, with_secret,
};

#[tokio::test]
async fn both_endpoints_are_asked_in_their_own_words_with_every_value_encoded() {
    let stub = Stub::start([Answer::token("A1"), Answer::token("A2")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let provider = provider(&stub, &with_secret(), &process(dir.path()));
    assert_eq!(
        provider.token(&graph()).await.expect("granted").expose(),
        "A1"
    );
    assert_eq!(
        provider.token(&siem()).await.expect("granted").expose(),
        "A2"
    );
    let check = |index: usize, path: &str, target: (&str, &str), other: &str| {
        let asked = &stub.asked()[index];
        assert_eq!(asked.path, format!("/{TENANT}{path}"));
        assert_eq!(asked.form["grant_type"], "client_credentials");
        assert_eq!(asked.form["client_id"], CLIENT);
        assert_eq!(asked.form["client_secret"], SECRET);
        assert_eq!(asked.form[target.0], target.1);
        assert!(!asked.form.contains_key(other), "{asked:?}");
        let agent = asked.headers["user-agent"].to_str().expect("text");
        assert!(agent.starts_with("tapline/"), "{agent}");
    };
    check(
        0,
        "/oauth2/v2.0/token",
        ("scope", "https://graph.example/.default"),
        "resource",
    );
    check(
        1,
        "/oauth2/token",
        ("resource", "https://siem.example"),
        "scope",
    );
}

#[tokio::test]
async fn fifty_callers_cost_one_request() {
    let stub = Stub::start([Answer::token("A1")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let cx = process(dir.path());
    let callers = (0..50).map(|_| provider(&stub, &with_secret(), &cx));
    let tokens =
        join_all(callers.map(|provider| async move { provider.token(&graph()).await })).await;
    for token in tokens {
        assert_eq!(token.expect("granted").expose(), "A1");
    }
    assert_eq!(stub.asked().len(), 1);
    let text = metrics(&cx);
    let count =
        format!(r#"tapline_token_refreshes_total{{identity="{TENANT}/{CLIENT}",outcome="ok"}} 1"#);
    assert!(text.contains(&count), "{text}");
    assert!(
        text.contains("tapline_token_expiry_timestamp_seconds{identity"),
        "{text}"
    );
}

#[tokio::test]
async fn a_refused_token_is_fetched_again_once_however_many_noticed() {
    let stub = Stub::start([Answer::token("A1"), Answer::token("A2")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let provider = provider(&stub, &with_secret(), &process(dir.path()));
    let old = provider.token(&graph()).await.expect("granted");
    for _ in 0..5 {
        provider.refused(&graph(), &old);
        assert_eq!(
            provider.token(&graph()).await.expect("granted").expose(),
            "A2"
        );
    }
    assert_eq!(stub.asked().len(), 2);
}

#[tokio::test]
async fn identities_that_differ_do_not_share() {
    let stub = Stub::start([]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let cx = process(dir.path());
    let one = provider(&stub, &with_secret(), &cx);
    let same = provider(&stub, &with_secret(), &cx);
    let mut changed = with_secret();
    changed.client_id = "another".to_owned();
    let other = provider(&stub, &changed, &cx);
    assert!(std::sync::Arc::ptr_eq(&one, &same));
    assert!(!std::sync::Arc::ptr_eq(&one, &other));
}

#[tokio::test]
async fn a_rate_limit_belongs_to_an_app_and_a_tenant() {
    let pool = TokenPool::default();
    let limit = pool.rate_limit(&with_secret(), 150);
    let mut other = with_secret();
    other.tenant_id = "other.example".to_owned();
    assert!(std::sync::Arc::ptr_eq(
        &limit,
        &pool.rate_limit(&with_secret(), 60)
    ));
    assert!(!std::sync::Arc::ptr_eq(
        &limit,
        &pool.rate_limit(&other, 60)
    ));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_request() {
    let stub = Stub::start([Answer::token("A1")]).await;
    stub.close();
    let dir = tempfile::tempdir().expect("temporary folder");
    let provider = provider(&stub, &with_secret(), &process(dir.path()));
    let audience: Audience = graph();
    let impatient = provider.token(&audience);
    let gone = tokio::time::timeout(std::time::Duration::from_millis(50), impatient).await;
    assert!(gone.is_err(), "the answer is held back");
    stub.open();
    assert_eq!(
        provider.token(&graph()).await.expect("granted").expose(),
        "A1"
    );
    assert_eq!(stub.asked().len(), 1);
}
