//! Access tokens as the identity platform signs them, and the keys that prove it.
//!
//! Source: "access token claims reference" and "OpenID Connect on the platform" of entra-docs, seen 2026-09.

use crate::tokens::unguessable;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};

/// One key serves all simulations of a process, since making one takes a tenth of a second.
static OURS: LazyLock<Arc<SigningKey>> = LazyLock::new(|| Arc::new(SigningKey::generate()));
static FOREIGN: LazyLock<Arc<SigningKey>> = LazyLock::new(|| Arc::new(SigningKey::generate()));

/// A key, and the name that tokens call it by.
#[derive(Debug)]
pub(super) struct SigningKey {
    pair: RsaKeyPair,
    id: String,
}

/// What a token says.
pub(super) struct Claims<'a> {
    pub(super) tenant: &'a str,
    pub(super) client: &'a str,
    /// The resource it is for, without `/.default`.
    pub(super) resource: &'a str,
    /// Seconds.
    pub(super) lives: u64,
}

impl SigningKey {
    /// The platform's own.
    pub(super) fn ours() -> Arc<Self> {
        Arc::clone(&OURS)
    }

    /// One that the platform does not know, as a forger has.
    pub(super) fn foreign() -> Arc<Self> {
        Arc::clone(&FOREIGN)
    }

    fn generate() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("2048 bits can be had");
        let digest = Sha256::digest(pair.public_key().as_ref());
        let id = URL_SAFE_NO_PAD.encode(&digest[..20]);
        Self { pair, id }
    }

    /// A signed token.
    pub(super) fn sign(&self, claims: &Claims<'_>) -> String {
        let head = json!({"typ": "JWT", "alg": "RS256", "kid": self.id});
        let text = format!("{}.{}", encode(&head), encode(&claims.json()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        let signed = self
            .pair
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature);
        signed.expect("the signature is as long as the key");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What proves its signatures.
    pub(super) fn key_set(&self) -> Value {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        }]})
    }
}

impl Claims<'_> {
    fn json(&self) -> Value {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
        json!({
            "aud": self.resource, "iss": issuer(self.tenant), "ver": "1.0",
            "iat": now, "nbf": now, "exp": now + self.lives,
            "appid": self.client, "appidacr": "1", "idtyp": "app",
            "oid": self.client, "sub": self.client, "tid": self.tenant,
            "uti": unguessable(""),
        })
    }
}

/// Where the keys are, and what tokens name as their issuer: another host than the one that answers.
pub(super) fn configuration(base: &str, tenant: &str) -> Value {
    json!({
        "issuer": issuer(tenant),
        "jwks_uri": format!("{base}/{tenant}/discovery/keys"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/token"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
    })
}

fn issuer(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
