//! Against the simulated identity platform, which refuses what the real one would.

use std::sync::Arc;

use serde_json::json;
use tapline_core::BuildContext;
use tapline_entra_auth::{Audience, Cloud, IdentityConfig, TokenPool, TokenProvider};
use tapline_simulators::Simulation;

use crate::stub::process;

fn graph() -> Audience {
    Audience::V2Scope(format!("{}/.default", Cloud::Global.graph()))
}

fn siem() -> Audience {
    Audience::V1Resource("https://graph.windows.net".to_owned())
}

fn provider(
    simulation: &Simulation,
    key: &str,
    secret: &str,
    cx: &BuildContext,
) -> Arc<TokenProvider> {
    let announced = simulation.announcement();
    let config = json!({
        "tenant_id": announced.tenant_id, "client_id": announced.client_id, key: secret,
    });
    let config: IdentityConfig = serde_json::from_value(config).expect("an identity");
    let pool = cx.shared.get_or_init(TokenPool::default);
    let provider = pool.provider(&config, &announced.login, cx);
    provider.expect("the identity is good")
}

#[tokio::test]
async fn a_secret_with_odd_letters_gets_tokens_of_both_endpoints() {
    let simulation = Simulation::scripted().await.expect("started");
    let dir = tempfile::tempdir().expect("temporary folder");
    let secret = simulation.announcement().client_secret;
    let provider = provider(&simulation, "client_secret", &secret, &process(dir.path()));
    for audience in [graph(), siem()] {
        provider.token(&audience).await.expect("granted");
    }
    assert_eq!(simulation.login().token_requests().len(), 2);
}

#[tokio::test]
async fn a_refresh_token_lives_on_through_restarts_until_it_is_revoked() {
    let simulation = Simulation::scripted().await.expect("started");
    let dir = tempfile::tempdir().expect("temporary folder");
    let first = simulation.announcement().refresh_token;
    for audience in [graph(), siem(), graph()] {
        let provider = provider(&simulation, "refresh_token", &first, &process(dir.path()));
        provider.token(&audience).await.expect("granted");
    }
    simulation.login().revoke_refresh_tokens();
    let provider = provider(&simulation, "refresh_token", &first, &process(dir.path()));
    let error = provider.token(&graph()).await.expect_err("revoked");
    assert_eq!(error.reason(), "reauthenticate", "{error}");
    let requests = simulation.login().token_requests();
    let shown = requests
        .iter()
        .filter_map(|request| request.form_value("refresh_token"));
    let shown: std::collections::BTreeSet<String> = shown.collect();
    assert_eq!(
        shown.len(),
        4,
        "each use shows the newest one; then all are tried"
    );
}

#[tokio::test]
async fn wrong_and_expired_secrets_are_told_apart() {
    let simulation = Simulation::scripted().await.expect("started");
    let dir = tempfile::tempdir().expect("temporary folder");
    let right = simulation.announcement().client_secret;
    simulation.login().set_secret_expired(true);
    for (secret, expected) in [("wrong", "AADSTS7000215"), (&right, "AADSTS7000222")] {
        let provider = provider(&simulation, "client_secret", secret, &process(dir.path()));
        let error = provider.token(&graph()).await.expect_err("refused");
        assert!(
            error.is_denied() && error.to_string().contains(expected),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_clock_five_minutes_off_does_not_matter() {
    let simulation = Simulation::scripted().await.expect("started");
    let dir = tempfile::tempdir().expect("temporary folder");
    let secret = simulation.announcement().client_secret;
    let provider = provider(&simulation, "client_secret", &secret, &process(dir.path()));
    for (offset, audience) in [(-300, graph()), (300, siem())] {
        simulation.login().set_clock_offset(offset);
        for _ in 0..3 {
            provider.token(&audience).await.expect("granted");
        }
    }
    assert_eq!(simulation.login().token_requests().len(), 2);
}
