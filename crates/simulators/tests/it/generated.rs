use crate::client::Client;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use tapline_simulators::{Faults, Settings, Simulation};

const TYPES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/reference/graph-security-types.json"
);

/// The fifty fields of a legacy detection.
/// Source: windows-itpro-docs, "pull alerts using REST API" (02e5e9c).
const FIELDS: &str = "AlertTime ComputerDnsName AlertTitle Category Severity AlertId Actor LinkToWDATP IocName IocValue \
    CreatorIocName CreatorIocValue Sha1 Sha256 Md5 FileName FilePath IpAddress Url IoaDefinitionId UserName UserDomain AlertPart \
    FullId LastProcessedTimeUtc ThreatCategory ThreatFamily ThreatName RemediationAction RemediationIsSuccess Source \
    WasExecutingWhileDetected LogOnUsers MachineDomain MachineName InternalIPv4List InternalIPv6List FileHash DeviceID \
    MachineGroup Description DeviceCreatedMachineTags CloudCreatedMachineTags CommandLine IncidentLinkToWDATP ReportID \
    LinkToMTP IncidentLinkToMTP ExternalId IocUniqueId";

async fn made(settings: Settings) -> Simulation {
    let simulation = Simulation::start(settings).await.unwrap();
    for _ in 0..3_000 {
        if simulation.finished() {
            return simulation;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("only {} versions were made", simulation.made());
}

async fn rows(client: &Client, list: &str) -> Vec<Value> {
    let (mut rows, mut got) = (Vec::new(), client.graph(list).await);
    loop {
        let mut page = got.json();
        rows.append(page["value"].as_array_mut().unwrap());
        let Some(link) = page["@odata.nextLink"].as_str() else {
            return rows;
        };
        got = client.try_get(link).await.unwrap();
    }
}

fn updating(events: u64) -> Settings {
    Settings {
        rate: 1e9,
        events: Some(events),
        faults: Faults::parse("update=0.4").unwrap(),
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_records_fit_the_published_types() {
    let Ok(text) = std::fs::read(TYPES) else {
        return;
    };
    let types = Types(serde_json::from_slice(&text).unwrap());
    let simulation = made(updating(3_000)).await;
    let client = Client::of_graph(&simulation).await;
    let mut kinds = HashSet::new();
    for alert in rows(&client, "alerts_v2").await {
        types.check("alert", &alert, &mut kinds, true);
    }
    for incident in rows(&client, "incidents").await {
        types.check("incident", &incident, &mut kinds, true);
    }
    assert_eq!(kinds.len(), 48, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_have_about_two_kilobytes_and_belong_to_incidents_that_exist() {
    let simulation = made(Settings {
        faults: Faults::none(),
        ..updating(3_000)
    })
    .await;
    let client = Client::of_graph(&simulation).await;
    let incidents: HashSet<String> = rows(&client, "incidents")
        .await
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    let alerts = rows(&client, "alerts_v2").await;
    assert!(
        alerts
            .iter()
            .all(|alert| incidents.contains(alert["incidentId"].as_str().unwrap()))
    );
    let mean = alerts
        .iter()
        .map(|alert| alert.to_string().len())
        .sum::<usize>()
        / alerts.len();
    assert!((1_700..2_500).contains(&mean), "{mean} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn detections_have_exactly_the_fifty_fields() {
    let simulation = made(Settings {
        rate: 1e9,
        events: Some(300),
        ..Settings::default()
    })
    .await;
    let got = Client::of_siem(&simulation).await.siem("").await;
    let fields: HashSet<&str> = FIELDS.split_whitespace().collect();
    assert_eq!(fields.len(), 50);
    for detection in got.json().as_array().unwrap() {
        let detection = detection.as_object().unwrap();
        assert_eq!(
            detection.keys().map(String::as_str).collect::<HashSet<_>>(),
            fields
        );
        assert_eq!(
            detection["FullId"],
            format!(
                "{}:{}",
                detection["AlertId"].as_str().unwrap(),
                detection["IocUniqueId"].as_str().unwrap()
            )
        );
        assert!(
            detection["RemediationIsSuccess"].is_boolean()
                || detection["RemediationIsSuccess"].is_null()
        );
    }
    assert_eq!(got.column("FullId").len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_makes_the_same_records() {
    async fn content(seed: u64) -> BTreeMap<String, Value> {
        let simulation = made(Settings {
            seed,
            ..updating(900)
        })
        .await;
        let mut rows = rows(&Client::of_graph(&simulation).await, "alerts_v2").await;
        rows.iter_mut().for_each(without_times);
        rows.into_iter()
            .map(|row| (row["id"].as_str().unwrap().to_owned(), row))
            .collect()
    }
    assert_eq!(content(7).await, content(7).await);
    assert_ne!(content(7).await, content(8).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_serve_as_templates() {
    let folder = tempfile::tempdir().unwrap();
    let alerts = folder.path().join("graph-alerts-v2");
    std::fs::create_dir(&alerts).unwrap();
    std::fs::write(alerts.join("a.json"), r#"{"value":[{"id":"x","title":"from a file","lastUpdateDateTime":"2020-01-01T00:00:00Z"}]}"#).unwrap();
    let settings = Settings {
        samples: Some(folder.path().to_owned()),
        ..updating(30)
    };
    let simulation = made(settings).await;
    let alerts = rows(&Client::of_graph(&simulation).await, "alerts_v2").await;
    assert!(
        alerts
            .iter()
            .all(|alert| alert["title"] == "from a file" && alert["id"] != "x")
    );
    let empty = Settings {
        samples: Some(folder.path().join("none")),
        ..updating(30)
    };
    assert!(Simulation::start(empty).await.is_err());
}

fn without_times(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_times),
        Value::Object(members) => {
            members.retain(|name, _| !name.ends_with("DateTime"));
            members.values_mut().for_each(without_times);
        }
        _ => {}
    }
}

/// The published types, read on their own terms.
struct Types(Value);

impl Types {
    fn of(&self, name: &str) -> &Value {
        let name = name.trim_start_matches("microsoft.graph.security.");
        ["entities", "evidence", "complex"]
            .iter()
            .find_map(|group| self.0[group].get(name))
            .unwrap_or_else(|| panic!("no type {name}"))
    }

    fn properties(&self, name: &str) -> Map<String, Value> {
        let own = self.of(name)["properties"].as_array().unwrap();
        let mut all: Map<_, _> = own
            .iter()
            .map(|property| {
                (
                    property["name"].as_str().unwrap().to_owned(),
                    property.clone(),
                )
            })
            .collect();
        if let Some(base) = self.of(name)["base"].as_str() {
            all.extend(self.properties(base));
        }
        all
    }

    /// Checks that an object has the properties of its type and no others, and that each fits.
    fn check(&self, name: &str, object: &Value, kinds: &mut HashSet<String>, listed: bool) {
        let said = object.get("@odata.type").map(|said| {
            said.as_str()
                .unwrap()
                .trim_start_matches("#microsoft.graph.security.")
        });
        let name = said.unwrap_or(name);
        if said.is_some() && listed {
            kinds.insert(name.to_owned());
        }
        let properties = self.properties(name);
        let object = object
            .as_object()
            .unwrap_or_else(|| panic!("{name} is no object: {object}"));
        for (property, value) in object.iter().filter(|member| member.0 != "@odata.type") {
            let known = properties
                .get(property)
                .unwrap_or_else(|| panic!("{name} has no {property}"));
            self.check_value(&format!("{name}.{property}"), known, value, kinds);
        }
        for (property, known) in &properties {
            assert!(
                object.contains_key(property) || known["navigation"] == true,
                "{name} lacks {property}"
            );
        }
    }

    fn check_value(
        &self,
        path: &str,
        property: &Value,
        value: &Value,
        kinds: &mut HashSet<String>,
    ) {
        if value.is_null() {
            assert_eq!(property["nullable"], true, "{path} is null");
        } else if property["collection"] == true {
            let items = value
                .as_array()
                .unwrap_or_else(|| panic!("{path} is no list"));
            items
                .iter()
                .for_each(|item| self.check_one(path, property, item, kinds));
        } else {
            self.check_one(path, property, value, kinds);
        }
    }

    fn check_one(&self, path: &str, property: &Value, value: &Value, kinds: &mut HashSet<String>) {
        let kind = property["type"].as_str().unwrap();
        let name = kind.trim_start_matches("microsoft.graph.security.");
        let fits = match kind {
            "Edm.String" => value.is_string(),
            "Edm.Guid" => value.as_str().is_some_and(|text| text.len() == 36),
            "Edm.Boolean" => value.is_boolean(),
            "Edm.Int32" | "Edm.Int64" => value.is_i64(),
            "Edm.Double" => value.is_number(),
            "Edm.DateTimeOffset" => value
                .as_str()
                .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z')),
            _ if name == "dictionary" => value.is_object(),
            _ => match self.0["enums"].get(name) {
                Some(members) => members["members"].as_array().unwrap().contains(value),
                None => {
                    self.check(name, value, kinds, path == "alert.evidence");
                    true
                }
            },
        };
        assert!(fits, "{path}: {kind} does not take {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_samples_serve_as_templates_when_they_are_there() {
    let folder = std::path::Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/samples"
    ));
    if !folder.exists() {
        return;
    }
    let simulation = made(Settings {
        samples: Some(folder.to_owned()),
        ..updating(90)
    })
    .await;
    let client = Client::of_graph(&simulation).await;
    let alerts = rows(&client, "alerts_v2").await;
    let titles: HashSet<&str> = alerts
        .iter()
        .filter_map(|alert| alert["title"].as_str())
        .collect();
    assert!(titles.len() >= 5, "{titles:?}");
    assert!(!rows(&client, "incidents?$expand=alerts").await.is_empty());
    assert_eq!(
        Client::of_siem(&simulation)
            .await
            .siem("")
            .await
            .column("FullId")
            .len(),
        30
    );
}
