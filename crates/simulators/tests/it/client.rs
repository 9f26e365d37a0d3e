//! A client that knows nothing of Tapline.

use serde_json::Value;
use tapline_simulators::{Announcement, Simulation};

/// An answer, read to its end.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// One member of every row of a page.
    pub(crate) fn column(&self, name: &str) -> Vec<String> {
        let page = self.json();
        let rows = page
            .get("value")
            .unwrap_or(&page)
            .as_array()
            .unwrap()
            .clone();
        rows.iter()
            .map(|row| row[name].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

pub(crate) struct Client {
    pub(crate) at: Announcement,
    http: reqwest::Client,
    pub(crate) token: String,
}

impl Client {
    /// A client with a token for Graph.
    pub(crate) async fn of_graph(simulation: &Simulation) -> Self {
        Self::with_resource(simulation, "https://graph.microsoft.com").await
    }

    /// A client with a token for the exporter.
    pub(crate) async fn of_siem(simulation: &Simulation) -> Self {
        Self::with_resource(simulation, "https://graph.windows.net").await
    }

    pub(crate) async fn with_resource(simulation: &Simulation, resource: &str) -> Self {
        let mut client = Self {
            at: simulation.announcement(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            token: String::new(),
        };
        let (id, secret) = (client.at.client_id.clone(), client.at.client_secret.clone());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &id),
            ("client_secret", &secret),
            ("resource", resource),
        ];
        let tenant = client.at.tenant_id.clone();
        let got = client
            .post(&format!("/{tenant}/oauth2/token"), &form)
            .await
            .unwrap();
        assert_eq!(got.status, 200, "{}", String::from_utf8_lossy(&got.body));
        client.token = got.json()["access_token"].as_str().unwrap().to_owned();
        client
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Result<Got> {
        read(
            self.http
                .post(format!("{}{path}", self.at.login))
                .form(form)
                .send()
                .await?,
        )
        .await
    }

    pub(crate) async fn try_get(&self, url: &str) -> reqwest::Result<Got> {
        let request = self
            .http
            .get(url)
            .bearer_auth(&self.token)
            .header("prefer", "include-unknown-enum-members");
        read(request.send().await?).await
    }

    pub(crate) async fn get_plain(&self, url: &str) -> Got {
        read(
            self.http
                .get(url)
                .bearer_auth(&self.token)
                .send()
                .await
                .unwrap(),
        )
        .await
        .unwrap()
    }

    /// Asks Graph below `/v1.0/security/`.
    pub(crate) async fn graph(&self, path: &str) -> Got {
        self.try_get(&format!("{}/v1.0/security/{path}", self.at.graph))
            .await
            .unwrap()
    }

    /// Asks the exporter.
    pub(crate) async fn siem(&self, query: &str) -> Got {
        self.try_get(&format!("{}/api/alerts{query}", self.at.siem))
            .await
            .unwrap()
    }
}

async fn read(mut response: reqwest::Response) -> reqwest::Result<Got> {
    let (status, headers, mut body) = (
        response.status().as_u16(),
        response.headers().clone(),
        Vec::new(),
    );
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(Got {
        status,
        headers,
        body,
    })
}
