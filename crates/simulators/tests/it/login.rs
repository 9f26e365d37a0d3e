use crate::client::{Client, Got};
use tapline_simulators::Simulation;

struct Tenant {
    simulation: Simulation,
    client: Client,
}

impl Tenant {
    async fn new() -> Self {
        let simulation = Simulation::scripted().await.unwrap();
        let client = Client::of_graph(&simulation).await;
        Self { simulation, client }
    }

    async fn ask(&self, endpoint: &str, form: &[(&str, &str)]) -> Got {
        self.client
            .post(
                &format!("/{}/oauth2/{endpoint}", self.client.at.tenant_id),
                form,
            )
            .await
            .unwrap()
    }

    /// Asks with the right client, and these fields instead of or beside what is right.
    async fn check(&self, endpoint: &str, fields: &[(&str, &str)], error: &str, code: u64) {
        let right = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client.at.client_id.as_str()),
            ("client_secret", self.client.at.client_secret.as_str()),
        ];
        let kept = right
            .into_iter()
            .filter(|(name, _)| fields.iter().all(|field| field.0 != *name));
        let form: Vec<_> = kept
            .chain(fields.iter().copied())
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let got = self.ask(endpoint, &form).await;
        let body = got.json();
        assert_eq!(
            (body["error"].as_str(), &body["error_codes"]),
            (Some(error), &serde_json::json!([code])),
            "{fields:?}"
        );
        assert!(
            body["error_description"]
                .as_str()
                .unwrap()
                .starts_with(&format!("AADSTS{code}: "))
        );
        assert_eq!(
            got.status,
            if error == "invalid_client" { 401 } else { 400 },
            "{fields:?}"
        );
    }
}

const GRAPH: (&str, &str) = ("resource", "https://graph.microsoft.com");
const SCOPE: (&str, &str) = ("scope", "https://graph.microsoft.com/.default");

#[tokio::test]
async fn every_mistake_gets_its_own_code() {
    let tenant = Tenant::new().await;
    tenant
        .check(
            "token",
            &[("grant_type", ""), GRAPH],
            "invalid_request",
            900_144,
        )
        .await;
    tenant
        .check(
            "token",
            &[("grant_type", "password"), GRAPH],
            "unsupported_grant_type",
            70_003,
        )
        .await;
    tenant
        .check(
            "token",
            &[("client_id", "nobody"), GRAPH],
            "unauthorized_client",
            700_016,
        )
        .await;
    tenant
        .check(
            "token",
            &[("client_secret", ""), GRAPH],
            "invalid_client",
            7_000_218,
        )
        .await;
    tenant
        .check(
            "token",
            &[("client_secret", "wrong"), GRAPH],
            "invalid_client",
            7_000_215,
        )
        .await;
    tenant
        .check(
            "token",
            &[("client_secret", ""), ("client_assertion", "a.b.c"), GRAPH],
            "invalid_client",
            700_027,
        )
        .await;
    tenant
        .check(
            "token",
            &[("resource", "https://nowhere.example")],
            "invalid_resource",
            500_011,
        )
        .await;
    tenant
        .check("v2.0/token", &[GRAPH], "invalid_request", 901_002)
        .await;
    tenant
        .check("v2.0/token", &[], "invalid_request", 900_144)
        .await;
    tenant
        .check(
            "v2.0/token",
            &[(
                "scope",
                "https://graph.microsoft.com/SecurityAlert.Read.All",
            )],
            "invalid_scope",
            70_011,
        )
        .await;
    tenant
        .check(
            "v2.0/token",
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", "x"),
                SCOPE,
            ],
            "invalid_grant",
            70_000,
        )
        .await;
    tenant.simulation.login().set_secret_expired(true);
    tenant
        .check("v2.0/token", &[SCOPE], "invalid_client", 7_000_222)
        .await;
}

#[tokio::test]
async fn tenants_must_be_known_and_named() {
    let tenant = Tenant::new().await;
    for (name, code) in [
        ("00000000-0000-0000-0000-000000000000", 90_002),
        ("common", 9_001_023),
    ] {
        let got = tenant
            .client
            .post(
                &format!("/{name}/oauth2/token"),
                &[("grant_type", "client_credentials")],
            )
            .await
            .unwrap();
        assert_eq!(got.json()["error_codes"][0], code, "{name}");
    }
}

#[tokio::test]
async fn v1_writes_numbers_as_text_and_v2_as_numbers_unless_told_otherwise() {
    let tenant = Tenant::new().await;
    let at = &tenant.client.at;
    let form = |target: (&'static str, &'static str)| {
        [
            ("grant_type", "client_credentials"),
            ("client_id", at.client_id.as_str()),
            ("client_secret", at.client_secret.as_str()),
            target,
        ]
    };
    assert_eq!(
        tenant.ask("token", &form(GRAPH)).await.json()["expires_in"],
        "3599"
    );
    assert_eq!(
        tenant.ask("v2.0/token", &form(SCOPE)).await.json()["expires_in"],
        3599
    );
    tenant.simulation.login().set_numbers_as_text(true);
    tenant.simulation.login().set_expires_in(60);
    assert_eq!(
        tenant.ask("v2.0/token", &form(SCOPE)).await.json()["expires_in"],
        "60"
    );
}

#[tokio::test]
async fn a_refresh_token_rotates_and_the_old_one_lasts_until_it_is_revoked() {
    let tenant = Tenant::new().await;
    let (client_id, first) = (
        tenant.client.at.client_id.clone(),
        tenant.client.at.refresh_token.clone(),
    );
    let refresh = async |token: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id.as_str()),
            ("refresh_token", token),
            (
                "scope",
                "https://graph.microsoft.com/.default offline_access",
            ),
        ];
        tenant.ask("v2.0/token", &form).await.json()
    };
    let second = refresh(&first).await["refresh_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(second, first);
    assert!(refresh(&first).await["access_token"].is_string());
    assert!(refresh(&second).await["access_token"].is_string());
    tenant.simulation.login().revoke_refresh_tokens();
    assert_eq!(refresh(&second).await["error"], "invalid_grant");
    let fresh = tenant.simulation.login().issue_refresh_token();
    assert!(refresh(&fresh).await["access_token"].is_string());
    let sent = tenant.simulation.login().token_requests();
    assert_eq!(
        sent.last().unwrap().form_value("refresh_token"),
        Some(fresh)
    );
}

#[tokio::test]
async fn every_audience_of_every_cloud_is_known() {
    let tenant = Tenant::new().await;
    for resource in [
        "https://graph.microsoft.com",
        "https://graph.microsoft.us/",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
    ] {
        let client = Client::with_resource(&tenant.simulation, resource).await;
        assert_eq!(client.graph("alerts_v2").await.status, 200, "{resource}");
    }
    for resource in [
        "https://graph.windows.net",
        "https://WDATPAlertExport.Seville.onmicrosoft.com",
    ] {
        let client = Client::with_resource(&tenant.simulation, resource).await;
        assert_eq!(client.siem("").await.status, 200, "{resource}");
    }
}

#[tokio::test]
async fn tokens_end_when_their_life_is_over_or_they_are_invalidated() {
    let tenant = Tenant::new().await;
    tenant.simulation.login().set_expires_in(0);
    assert_eq!(
        Client::of_graph(&tenant.simulation)
            .await
            .graph("alerts_v2")
            .await
            .status,
        401
    );
    assert_eq!(tenant.client.graph("alerts_v2").await.status, 200);
    tenant.simulation.login().invalidate_access_tokens();
    assert_eq!(tenant.client.graph("alerts_v2").await.status, 401);
}

/// The claims of a token, if the platform's public keys prove its signature.
async fn proven(tenant: &Tenant, token: &str) -> Option<serde_json::Value> {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
    use base64::Engine;
    let decode = |text: &str| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
        bytes.unwrap()
    };
    let at = &tenant.client.at;
    let url = format!(
        "{}/{}/.well-known/openid-configuration",
        at.login, at.tenant_id
    );
    let configuration = tenant.client.get_plain(&url).await.json();
    let keys = configuration["jwks_uri"].as_str().unwrap();
    let keys = tenant.client.get_plain(keys).await.json();
    let (text, signature) = token.rsplit_once('.').unwrap();
    let (head, claims) = text.split_once('.').unwrap();
    let head: serde_json::Value = serde_json::from_slice(&decode(head)).unwrap();
    let key = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == head["kid"])?;
    let part = |name: &str| decode(key[name].as_str().unwrap());
    let public = RsaPublicKeyComponents {
        n: part("n"),
        e: part("e"),
    };
    let proof = public.verify(
        &RSA_PKCS1_2048_8192_SHA256,
        text.as_bytes(),
        &decode(signature),
    );
    proof.ok()?;
    Some(serde_json::from_slice(&decode(claims)).unwrap())
}

#[tokio::test]
async fn a_token_is_proven_by_the_public_keys_and_a_forged_one_is_not() {
    let tenant = Tenant::new().await;
    let scope = "https://contoso.servicebus.windows.net/.default";
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &*tenant.client.at.client_id),
        ("client_secret", &*tenant.client.at.client_secret),
        ("scope", scope),
    ];
    let token = |got: Got| got.json()["access_token"].as_str().unwrap().to_owned();
    let good = token(tenant.ask("v2.0/token", &form).await);
    let claims = proven(&tenant, &good).await.unwrap();
    assert_eq!(claims["aud"], "https://contoso.servicebus.windows.net");
    assert_eq!(claims["exp"], claims["iat"].as_u64().unwrap() + 3599);
    tenant.simulation.login().set_forged(true);
    let forged = token(tenant.ask("v2.0/token", &form).await);
    assert!(proven(&tenant, &forged).await.is_none());
}
