//! A certificate in place of a secret.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use crate::stub::{
    Answer, CLIENT, Stub, TENANT, graph, identity, process, provider, write_private,
};

/// Writes certificate and key into one file and returns the public key in PEM.
fn write_certificate(dir: &Path) -> String {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
    let params = CertificateParams::new(vec!["tapline.example".to_owned()]).expect("legal");
    let certificate = params.self_signed(&key).expect("signed");
    let text = certificate.pem() + &key.serialize_pem();
    write_private(&dir.join("app.pem"), &text);
    key.public_key_pem()
}

fn claims(assertion: &str, public_key: &str) -> Value {
    let mut validation = Validation::new(Algorithm::PS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_rsa_pem(public_key.as_bytes()).expect("a public key");
    let decoded = jsonwebtoken::decode::<Value>(assertion, &key, &validation).expect("valid");
    assert_eq!(decoded.header.x5t_s256.expect("a thumbprint").len(), 43);
    decoded.claims
}

#[tokio::test]
async fn the_assertion_is_signed_and_names_the_endpoint_and_the_app() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let public_key = write_certificate(dir.path());
    let stub = Stub::start([Answer::token("A1")]).await;
    let config = identity(json!({"certificate": {"cert": "app.pem"}}));
    let provider = provider(&stub, &config, &process(dir.path()));
    provider.token(&graph()).await.expect("granted");
    let asked = &stub.asked()[0];
    assert!(!asked.form.contains_key("client_secret"));
    assert!(asked.form["client_assertion_type"].ends_with(":jwt-bearer"));
    let claims = claims(&asked.form["client_assertion"], &public_key);
    let expected = format!("{}/{TENANT}/oauth2/v2.0/token", stub.base);
    assert_eq!(claims["aud"], expected);
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!(CLIENT), &json!(CLIENT))
    );
}

#[tokio::test]
async fn a_clock_that_is_off_does_not_lock_us_out() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let public_key = write_certificate(dir.path());
    let server_time = Timestamp::now() - SignedDuration::from_mins(7);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&server_time)
        .expect("a date");
    let refusal = Answer::refusal("invalid_client", 700_024).header("date", &date);
    let stub = Stub::start([refusal, Answer::token("A1")]).await;
    let config = identity(json!({"certificate": {"cert": "app.pem"}}));
    let provider = provider(&stub, &config, &process(dir.path()));
    provider
        .token(&graph())
        .await
        .expect("granted at the second try");
    let assertions = stub.fields("client_assertion");
    let at = claims(&assertions[1], &public_key)["iat"]
        .as_i64()
        .expect("seconds");
    assert!((at - server_time.as_second()).abs() < 30, "{at}");
}

#[tokio::test]
async fn a_file_without_a_certificate_or_key_is_named() {
    let dir = tempfile::tempdir().expect("temporary folder");
    write_certificate(dir.path());
    write_private(&dir.path().join("empty.pem"), "");
    let check = |certificate: Value, expected: &str| {
        let config = identity(json!({"certificate": certificate}));
        let pool = tapline_entra_auth::TokenPool::default();
        let refused = pool.provider(&config, "https://login.example", &process(dir.path()));
        let error = refused.expect_err("refused");
        assert_eq!(error.path, "identity.certificate");
        assert!(error.source.to_string().contains(expected), "{error:?}");
    };
    check(json!({"cert": "empty.pem"}), "empty.pem");
    check(json!({"cert": "app.pem", "key": "empty.pem"}), "empty");
    check(
        json!({"cert": "app.pem", "key": "missing.pem"}),
        "missing.pem",
    );
    write_private(
        &dir.path().join("other.pem"),
        "-----BEGIN X-----\nAA==\n-----END X-----\n",
    );
    check(
        json!({"cert": "app.pem", "key": "other.pem"}),
        "RSA key without passphrase in",
    );
}
