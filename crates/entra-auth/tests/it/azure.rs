//! Credentials that Azure and Kubernetes give out without a secret in any setting.

use serde_json::{Value, json};
use tapline_entra_auth::{IdentityConfig, TokenPool};

use crate::stub::{Answer, CLIENT, Stub, TENANT, graph, identity, process, provider, siem};

/// A machine whose metadata service is the stub.
fn machine(stub: &Stub, names: &Value) -> IdentityConfig {
    let mut managed = json!({"endpoint": stub.base});
    let mut config = json!({"tenant_id": TENANT});
    for (name, value) in names.as_object().expect("an object") {
        match name.as_str() {
            "client_id" => config[name] = value.clone(),
            _ => managed[name] = value.clone(),
        }
    }
    config["managed_identity"] = managed;
    serde_json::from_value(config).expect("an identity")
}

fn machine_token() -> Answer {
    Answer::json(
        200,
        &json!({"access_token": "M1", "expires_in": "86399", "expires_on": "1", "not_before": "1",
                "resource": "https://graph.example", "token_type": "Bearer"}),
    )
}

#[tokio::test]
async fn a_machines_identity_is_asked_for_by_resource_and_by_its_name() {
    let named = [
        (json!({}), None),
        (json!({"client_id": CLIENT}), Some(("client_id", CLIENT))),
        (json!({"object_id": "o-1"}), Some(("object_id", "o-1"))),
        (
            json!({"resource_id": "/subscriptions/s"}),
            Some(("msi_res_id", "/subscriptions/s")),
        ),
    ];
    for (names, expected) in named {
        let stub = Stub::start([machine_token(), machine_token()]).await;
        let dir = tempfile::tempdir().expect("temporary folder");
        let provider = provider(&stub, &machine(&stub, &names), &process(dir.path()));
        for (audience, resource) in [
            (graph(), "https://graph.example"),
            (siem(), "https://siem.example"),
        ] {
            let token = provider.token(&audience).await.expect("granted");
            assert_eq!(token.expose(), "M1");
            let asked = stub.asked().pop().expect("a request");
            assert_eq!(asked.path, "/metadata/identity/oauth2/token");
            assert_eq!(asked.headers["metadata"], "true");
            assert_eq!(asked.query["api-version"], "2018-02-01");
            assert_eq!(asked.query["resource"], resource);
            let names = ["client_id", "object_id", "msi_res_id"];
            let found = names
                .iter()
                .find_map(|name| Some((*name, asked.query.get(*name)?.as_str())));
            assert_eq!(found, expected);
        }
    }
}

#[tokio::test]
async fn a_machine_without_that_identity_is_told_what_to_do() {
    let refusal = json!({"error": "invalid_request", "error_description": "Identity not found"});
    let check = async |answer: Answer, denied: bool, words: &str| {
        let stub = Stub::start([answer]).await;
        let dir = tempfile::tempdir().expect("temporary folder");
        let provider = provider(&stub, &machine(&stub, &json!({})), &process(dir.path()));
        let error = provider.token(&graph()).await.expect_err("refused");
        assert_eq!(error.is_denied(), denied, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    check(Answer::json(400, &refusal), true, "assign it one").await;
    check(Answer::json(400, &refusal), true, "Identity not found").await;
    check(Answer::text(404, "text/html", "<p>"), false, "404").await;
    check(Answer::text(410, "text/plain", ""), false, "410").await;
    check(Answer::json(429, &refusal), false, "too many requests").await;
    check(Answer::text(503, "text/plain", ""), false, "503").await;
}

#[tokio::test]
async fn a_machine_outside_azure_says_so() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = closed.local_addr().expect("bound");
    drop(closed);
    let config = json!({
        "tenant_id": TENANT, "managed_identity": {"endpoint": format!("http://{address}")},
    });
    let config: IdentityConfig = serde_json::from_value(config).expect("an identity");
    let dir = tempfile::tempdir().expect("temporary folder");
    let provider = TokenPool::default()
        .provider(&config, "https://login.example", &process(dir.path()))
        .expect("the identity is good");
    let error = provider.token(&graph()).await.expect_err("nobody answers");
    assert!(!error.is_denied(), "{error}");
    assert!(error.to_string().contains("machines in Azure"), "{error}");
}

#[tokio::test]
async fn a_federated_token_is_read_anew_for_each_request() {
    let stub = Stub::start([Answer::token("A1"), Answer::token("A2")]).await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let file = dir.path().join("azure-identity-token");
    let config = identity(json!({"workload_identity": {"token_file": file}}));
    std::fs::write(&file, "outside-1\n").expect("written");
    let provider = provider(&stub, &config, &process(dir.path()));
    provider.token(&graph()).await.expect("granted");
    std::fs::write(&file, "outside-2\n").expect("written");
    provider.token(&siem()).await.expect("granted");
    assert_eq!(stub.fields("client_assertion"), ["outside-1", "outside-2"]);
    for asked in stub.asked() {
        assert_eq!(asked.form["grant_type"], "client_credentials");
        assert_eq!(asked.form["client_id"], CLIENT);
        assert!(asked.form["client_assertion_type"].ends_with("jwt-bearer"));
        assert!(!asked.form.contains_key("client_secret"));
    }
}

#[tokio::test]
async fn a_federated_token_that_is_not_there_is_named_at_the_start() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "\n").expect("written");
    for (file, words) in [(dir.path().join("missing"), "missing"), (empty, "is empty")] {
        let config = identity(json!({"workload_identity": {"token_file": file}}));
        let built =
            TokenPool::default().provider(&config, "https://login.example", &process(dir.path()));
        let error = built.expect_err("refused");
        assert!(
            format!("{error:?}").contains("workload_identity"),
            "{error:?}"
        );
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{error} {}", source.unwrap_or_default());
        assert!(text.contains(words), "{text}");
    }
}
