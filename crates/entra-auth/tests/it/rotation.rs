//! Refresh tokens survive whatever happens to the process.

use std::fs;
use std::time::Duration;

use tapline_entra_auth::TokenPool;
use tapline_testkit::{LogCapture, eventually};

use crate::stub::{
    Answer, Stub, graph, process, provider, siem, with_refresh_token, write_private,
};

#[tokio::test]
async fn the_next_process_continues_with_the_rotated_token() {
    let stub = Stub::start([Answer::rotated("A1", "R2"), Answer::rotated("A2", "R3")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    for expected in ["A1", "A2"] {
        let provider = provider(&stub, &with_refresh_token("R1"), &process(dir.path()));
        let token = provider.token(&graph()).await.expect("granted");
        assert_eq!(token.expose(), expected);
    }
    assert_eq!(stub.fields("refresh_token"), ["R1", "R2"]);
    assert_eq!(
        stub.fields("scope")[0],
        "https://graph.example/.default offline_access"
    );
}

#[tokio::test]
async fn the_rotated_token_is_durable_when_the_access_token_is_handed_out() {
    let stub = Stub::start([Answer::rotated("A1", "R2")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let provider = provider(&stub, &with_refresh_token("R1"), &process(dir.path()));
    provider.token(&graph()).await.expect("granted");
    let files = fs::read_dir(dir.path().join("tokens")).expect("made");
    let files: Vec<_> = files.map(|file| file.expect("listed").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = fs::read_to_string(&files[0]).expect("read");
    assert!(text.contains(r#""R2""#), "{text}");
}

#[tokio::test]
async fn a_rotated_token_is_stored_although_whoever_asked_went_away() {
    let stub = Stub::start([Answer::rotated("A1", "R2"), Answer::token("A2")]).await;
    stub.close();
    let dir = tempfile::tempdir().expect("temporary folder");
    let cx = process(dir.path());
    let provider = provider(&stub, &with_refresh_token("R1"), &cx);
    let audience = graph();
    let gone = tokio::time::timeout(Duration::from_millis(50), provider.token(&audience)).await;
    assert!(gone.is_err(), "the answer is held back");
    drop(provider);
    stub.open();
    cx.shared.get_or_init(TokenPool::default).idle().await;
    let next = crate::stub::provider(&stub, &with_refresh_token("R1"), &process(dir.path()));
    next.token(&graph()).await.expect("granted");
    assert_eq!(stub.fields("refresh_token"), ["R1", "R2"]);
}

#[tokio::test]
async fn audiences_of_one_identity_take_turns_and_each_uses_the_newest_token() {
    let stub = Stub::start([Answer::rotated("A1", "R2"), Answer::rotated("A2", "R3")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let provider = provider(&stub, &with_refresh_token("R1"), &process(dir.path()));
    let (graph, siem) = (graph(), siem());
    let (first, second) = tokio::join!(provider.token(&graph), provider.token(&siem));
    first.and(second).expect("both granted");
    assert_eq!(stub.fields("refresh_token"), ["R1", "R2"]);
}

#[tokio::test]
async fn a_changed_setting_wins_over_what_was_stored() {
    let stub = Stub::start([
        Answer::rotated("A1", "R2"),
        Answer::rotated("A2", "N2"),
        Answer::token("A3"),
    ])
    .await;
    let dir = tempfile::tempdir().expect("temporary folder");
    for configured in ["R1", "N1", "N1"] {
        let provider = provider(&stub, &with_refresh_token(configured), &process(dir.path()));
        provider.token(&graph()).await.expect("granted");
    }
    assert_eq!(stub.fields("refresh_token"), ["R1", "N1", "N2"]);
}

#[tokio::test]
async fn a_secret_file_that_changes_is_noticed_without_a_restart() {
    let stub = Stub::start([Answer::rotated("A1", "R2"), Answer::token("A2")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let file = dir.path().join("refresh");
    let write = |token: &str| write_private(&file, token);
    write("R1");
    let config = crate::stub::identity(serde_json::json!({"refresh_token": {"file": "refresh"}}));
    let provider = provider(&stub, &config, &process(dir.path()));
    let token = provider.token(&graph()).await.expect("granted");
    write("N1");
    provider.refused(&graph(), &token);
    provider.token(&graph()).await.expect("granted");
    assert_eq!(stub.fields("refresh_token"), ["R1", "N1"]);
}

#[tokio::test]
async fn a_stored_token_that_is_refused_falls_back_to_the_one_before() {
    let stub = Stub::start([
        Answer::rotated("A1", "R2"),
        Answer::refusal("invalid_grant", 70000),
        Answer::rotated("A2", "R3"),
        Answer::token("A3"),
    ])
    .await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let config = with_refresh_token("R1");
    for expected in ["A1", "A2", "A3"] {
        let provider = provider(&stub, &config, &process(dir.path()));
        let token = provider.token(&graph()).await.expect("granted");
        assert_eq!(token.expose(), expected);
    }
    assert_eq!(stub.fields("refresh_token"), ["R1", "R2", "R1", "R3"]);
}

#[tokio::test]
async fn a_token_that_cannot_be_stored_is_used_from_memory_and_complained_about() {
    let logs = LogCapture::start();
    let stub = Stub::start([Answer::rotated("A1", "R2-hunter2"), Answer::token("A2")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    // A file where the folder should be stops even root.
    fs::write(dir.path().join("tokens"), "in the way").expect("written");
    let provider = provider(
        &stub,
        &with_refresh_token("R1-hunter2"),
        &process(dir.path()),
    );
    let token = provider
        .token(&graph())
        .await
        .expect("granted all the same");
    provider.refused(&graph(), &token);
    provider.token(&graph()).await.expect("granted");
    assert_eq!(stub.fields("refresh_token"), ["R1-hunter2", "R2-hunter2"]);
    eventually("the complaint", || logs.text().contains("cannot be stored")).await;
    assert!(logs.text().contains("ERROR"), "{}", logs.text());
    logs.assert_absent(&["hunter2"]);
}

#[tokio::test]
async fn a_stored_file_that_is_broken_is_said_and_the_setting_used() {
    let stub = Stub::start([Answer::rotated("A1", "R2"), Answer::token("A2")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let config = with_refresh_token("R1");
    let first = provider(&stub, &config, &process(dir.path()));
    first.token(&graph()).await.expect("granted");
    for file in fs::read_dir(dir.path().join("tokens")).expect("made") {
        fs::write(file.expect("listed").path(), "{").expect("broken");
    }
    let logs = LogCapture::start();
    let second = provider(&stub, &config, &process(dir.path()));
    second.token(&graph()).await.expect("granted");
    assert_eq!(stub.fields("refresh_token"), ["R1", "R1"]);
    assert!(logs.text().contains("stored refresh token cannot be read"));
}
