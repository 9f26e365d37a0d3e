//! Evidence of every kind, written after the table of shapes.

use super::enums::{self, Enum};
use super::scene::{Scene, guid, hex};
use super::table::{EVIDENCE, PARTS};
use super::write::Json;
use crate::ticks::SECOND;
use rand::Rng;
use rand::rngs::StdRng;

/// Objects nest no deeper than this inside one piece of evidence.
const DEPTH: u32 = 1;

/// A shape ready for writing.
#[derive(Debug)]
struct Shape {
    name: &'static str,
    is_evidence: bool,
    properties: Vec<Property>,
}

#[derive(Debug)]
struct Property {
    name: &'static str,
    value: Value,
    collection: bool,
    nullable: bool,
}

#[derive(Debug)]
enum Value {
    Text,
    Time,
    Number,
    Truth,
    Guid,
    Real,
    Open,
    Member(Vec<&'static str>),
    /// The place of another shape.
    Part(usize),
}

/// All shapes of evidence; the first 48 places are the kinds that an alert can list.
#[derive(Debug)]
pub(super) struct Shapes(Vec<Shape>);

impl Shapes {
    pub(super) fn new() -> Self {
        let rows = EVIDENCE
            .iter()
            .map(|row| (row, true))
            .chain(PARTS.iter().map(|row| (row, false)));
        Self(
            rows.map(|((name, text), is_evidence)| shape(name, text, is_evidence))
                .collect(),
        )
    }

    /// The place of a kind of evidence.
    pub(super) fn place(&self, name: &str) -> usize {
        place(name)
    }

    /// Writes one piece of evidence as an item of a list.
    pub(super) fn write(&self, kind: usize, scene: &Scene<'_>, rng: &mut StdRng, json: &mut Json) {
        self.object(&self.0[kind % EVIDENCE.len()], true, scene, rng, json, 0);
    }

    fn object(
        &self,
        shape: &Shape,
        typed: bool,
        scene: &Scene<'_>,
        rng: &mut StdRng,
        json: &mut Json,
        depth: u32,
    ) {
        json.open(b'{');
        if shape.is_evidence {
            common(shape.name, typed, scene, rng, json);
        }
        for property in &shape.properties {
            json.key(property.name);
            self.property(property, scene, rng, json, depth);
        }
        json.close(b'}');
    }

    fn property(
        &self,
        property: &Property,
        scene: &Scene<'_>,
        rng: &mut StdRng,
        json: &mut Json,
        depth: u32,
    ) {
        let too_deep = matches!(property.value, Value::Part(_)) && depth >= DEPTH;
        match property.collection {
            true => {
                json.open(b'[');
                if !too_deep && rng.random_bool(0.6) {
                    self.value(property, scene, rng, json, depth);
                }
                json.close(b']');
            }
            false if property.nullable && (too_deep || rng.random_bool(0.25)) => {
                json.null();
            }
            false => self.value(property, scene, rng, json, depth),
        }
    }

    fn value(
        &self,
        property: &Property,
        scene: &Scene<'_>,
        rng: &mut StdRng,
        json: &mut Json,
        depth: u32,
    ) {
        match &property.value {
            Value::Text => text(property.name, scene, rng, json),
            Value::Time => {
                json.time(scene.at - rng.random_range(1..86_400) * SECOND);
            }
            Value::Number => {
                json.plain(number(property.name, rng));
            }
            Value::Truth => {
                json.plain(rng.random_bool(0.5));
            }
            Value::Guid => {
                json.text(&guid(rng));
            }
            Value::Real => {
                json.plain(f64::from(rng.random_range(-8_000..8_000)) / 100.0 + 0.005);
            }
            Value::Open => {
                json.open(b'{').key("app").text("sample").close(b'}');
            }
            Value::Member(members) => {
                json.text(members[rng.random_range(0..members.len())]);
            }
            Value::Part(place) => self.object(
                &self.0[*place],
                property.name == "cloudResource",
                scene,
                rng,
                json,
                depth + 1,
            ),
        }
    }
}

/// What every piece of evidence has. Evidence inside evidence says its type only where the schema leaves it open.
fn common(name: &str, typed: bool, scene: &Scene<'_>, rng: &mut StdRng, json: &mut Json) {
    if typed {
        json.key("@odata.type")
            .text(&format!("#microsoft.graph.security.{name}"));
    }
    json.key("createdDateTime").time(scene.at);
    json.key("verdict")
        .text(["unknown", "suspicious", "malicious", "noThreatsFound"][rng.random_range(0..4)]);
    let remediation = [
        "none",
        "none",
        "remediated",
        "prevented",
        "blocked",
        "active",
        "pendingApproval",
        "unremediated",
    ];
    json.key("remediationStatus")
        .text(remediation[rng.random_range(0..remediation.len())]);
    json.key("remediationStatusDetails").null();
    json.key("roles").open(b'[');
    if rng.random_bool(0.4) {
        json.text(
            [
                "contextual",
                "source",
                "compromised",
                "attacked",
                "suspicious",
            ][rng.random_range(0..5)],
        );
    }
    json.close(b']');
    json.key("detailedRoles")
        .texts((name == "deviceEvidence").then_some("PrimaryDevice"));
    json.key("tags")
        .texts(rng.random_bool(0.1).then_some("sample-tag"));
}

fn shape(name: &'static str, text: &'static str, is_evidence: bool) -> Shape {
    Shape {
        name,
        is_evidence,
        properties: text.split_whitespace().map(property).collect(),
    }
}

fn property(text: &'static str) -> Property {
    let (name, rest) = text
        .split_once(':')
        .expect("the table's properties read name:type");
    let (rest, nullable) = rest
        .strip_suffix('!')
        .map_or((rest, true), |rest| (rest, false));
    let (kind, collection) = rest
        .strip_suffix('*')
        .map_or((rest, false), |rest| (rest, true));
    Property {
        name,
        value: value(kind),
        collection,
        nullable,
    }
}

fn value(kind: &'static str) -> Value {
    match kind.split_once('.') {
        Some(("enum", name)) => Value::Member(
            enums::named(name)
                .into_iter()
                .flat_map(Enum::members)
                .collect(),
        ),
        // the schema says only "any evidence" here; the service puts the cluster's Azure resource
        Some((_, "alertEvidence")) => Value::Part(place("azureResourceEvidence")),
        Some((_, name)) => Value::Part(place(name)),
        None => match kind {
            "time" => Value::Time,
            "number" => Value::Number,
            "truth" => Value::Truth,
            "guid" => Value::Guid,
            "real" => Value::Real,
            "open" => Value::Open,
            _ => Value::Text,
        },
    }
}

fn place(name: &str) -> usize {
    let names = EVIDENCE.iter().chain(PARTS.iter());
    names
        .map(|row| row.0)
        .position(|known| known == name)
        .expect("the table names no shape that it lacks")
}

fn number(name: &str, rng: &mut StdRng) -> i64 {
    match name {
        "osBuild" => 26_100,
        "rbacGroupId" => 1,
        "port" | "destinationPort" => 443,
        "processId" | "parentProcessId" | "sourcePort" | "nodePort" => {
            rng.random_range(300..60_000)
        }
        "projectNumber" => rng.random_range(100_000_000_000..999_999_999_999),
        "fileSize" => rng.random_range(1_000..90_000_000),
        _ => rng.random_range(0..500),
    }
}

/// Text that fits a property's name and agrees with the scene.
fn text(name: &str, scene: &Scene<'_>, rng: &mut StdRng, json: &mut Json) {
    let (host, user, program) = (scene.host, scene.user, scene.program);
    match name {
        "deviceDnsName" => json.text(&host.dns),
        "hostName" | "deviceName" => json.text(&host.name),
        "mdeDeviceId" => json.text(&host.device_id),
        "azureAdDeviceId" => json.text(&host.azure_id),
        "dnsDomain" | "domainName" | "activeDirectoryDomainName" => json.text("corp.example"),
        "ntDomain" => json.text("CORP"),
        "rbacGroupName" => json.text(host.group),
        "osPlatform" | "operatingSystem" => json.text("Windows11"),
        "version" => json.text("24H2"),
        "lastIpAddress" | "ipInterfaces" => json.text(&host.ip),
        "ipAddress" | "lastExternalIpAddress" | "senderIp" | "senderIP" | "allowedIpAddresses" => {
            json.text(&scene.outer_ip)
        }
        "countryLetterCode" => json.text("NL"),
        "accountName" => json.text(&user.name),
        "userPrincipalName"
        | "upn"
        | "mailboxPrimaryAddress"
        | "primaryAddress"
        | "recipient"
        | "recipientEmailAddress"
        | "recipients"
        | "email"
        | "submitter" => json.text(&user.upn),
        "displayName" => json.text(&user.display),
        "userSid" | "sid" => json.text(&user.sid),
        "azureAdUserId" => json.text(&user.azure_id),
        "tenantId" | "appOwnerTenantId" => json.text(scene.tenant),
        "fileName" => json.text(program.file),
        "filePath" => json.text(program.folder),
        "filePublisher" | "signer" | "issuer" => json.text("Sample Publisher"),
        "processCommandLine" => json.text(program.command),
        "sha1" => json.text(&scene.sha1),
        "sha256" | "sha256Ac" => json.text(&scene.sha256),
        "md5" => json.text(&scene.md5),
        "url" | "urls" | "webUrl" | "baseUrl" | "devicePageLink" => {
            json.text("https://files.example/a?b=c|d")
        }
        "sender" | "senderFromAddress" | "emailAddress" => json.text("billing@phish.example"),
        "subject" => json.text("Invoice 4711: \"urgent\""),
        "registryHive" => json.text("HKEY_LOCAL_MACHINE"),
        "registryKey" => json.text("SOFTWARE\\Sample\\Run"),
        "registryValueType" => json.text("String"),
        "macAddress" => json.text("02-00-5E-10-00-01"),
        "resourceId" | "amazonResourceId" => {
            json.text("/subscriptions/0000/resourceGroups/sample/providers/Sample.Compute/vm1")
        }
        "appId"
        | "objectId"
        | "networkMessageId"
        | "networkMessageIds"
        | "servicePrincipalObjectId"
        | "submissionId"
        | "sessionId"
        | "requestId"
        | "agentId" => json.text(&scene.guid),
        "imageId" | "containerId" | "value" => json.text(&hex(rng, 64)),
        other => json.text(&format!("{other}-{}", rng.random_range(1..100))),
    };
}
