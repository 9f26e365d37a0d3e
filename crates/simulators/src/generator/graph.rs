//! Alerts and incidents of Graph.

use super::evidence::Shapes;
use super::scene::Scene;
use super::story::Story;
use super::write::Json;
use crate::ticks::SECOND;
use rand::Rng;
use rand::rngs::StdRng;

/// What one version is besides its story.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) id: &'a str,
    /// The number of the incident that it is, or belongs to.
    pub(super) incident: u64,
    pub(super) updated: i64,
    /// How often it was changed before.
    pub(super) revision: u32,
    pub(super) number: u64,
}

impl Facts<'_> {
    fn is_resolved(&self) -> bool {
        self.revision >= 2
    }

    fn assigned_to<'a>(&self, scene: &'a Scene<'_>) -> Option<&'a str> {
        (self.revision > 0).then_some(scene.user.upn.as_str())
    }
}

/// Writes one version of an alert.
pub(super) fn write_alert(
    facts: &Facts<'_>,
    scene: &Scene<'_>,
    story: &Story,
    shapes: &Shapes,
    rng: &mut StdRng,
    json: &mut Json,
) {
    let tenant = scene.tenant;
    json.open(b'{')
        .key("id")
        .text(facts.id)
        .key("providerAlertId")
        .text(&facts.id[2..]);
    json.key("incidentId").text(&facts.incident.to_string());
    json.key("status")
        .text(["new", "inProgress", "resolved"][facts.revision.min(2) as usize]);
    json.key("severity").text(story.severity);
    json.key("classification")
        .maybe(facts.is_resolved().then_some("truePositive"));
    json.key("determination")
        .maybe(facts.is_resolved().then_some("malware"));
    json.key("serviceSource")
        .text(story.service)
        .key("detectionSource")
        .text(story.source);
    json.key("productName")
        .text(story.product)
        .key("detectorId")
        .text(&scene.guid)
        .key("tenantId")
        .text(tenant);
    json.key("title")
        .text(story.title)
        .key("description")
        .text(story.description);
    json.key("recommendedActions")
        .text("1. Look at the evidence.\n2. Ask the user.");
    json.key("category")
        .text(story.category)
        .key("categories")
        .texts([story.category]);
    json.key("assignedTo").maybe(facts.assigned_to(scene));
    json.key("alertWebUrl").text(&format!(
        "https://security.microsoft.com/alerts/{}?tid={tenant}",
        facts.id
    ));
    json.key("incidentWebUrl")
        .text(&incident_url(facts.incident, tenant));
    json.key("actorDisplayName").null();
    let malware = story.category == "Malware";
    json.key("threatDisplayName")
        .maybe(malware.then_some("Trojan:Win32/Samplex.A"));
    json.key("threatFamilyName")
        .maybe(malware.then_some("Samplex"));
    json.key("mitreTechniques").texts(story.technique);
    json.key("alertPolicyId")
        .null()
        .key("investigationState")
        .text("unsupportedAlertType");
    json.key("createdDateTime")
        .time(scene.at)
        .key("lastUpdateDateTime")
        .time(facts.updated);
    resolved(facts, json);
    let first = scene.at - rng.random_range(SECOND..3_600 * SECOND);
    json.key("firstActivityDateTime")
        .time(first)
        .key("lastActivityDateTime")
        .time(scene.at - rng.random_range(0..SECOND));
    comments(facts, scene, json);
    json.key("systemTags")
        .texts(None)
        .key("additionalData")
        .open(b'{')
        .close(b'}')
        .key("customDetails")
        .open(b'{')
        .close(b'}');
    evidence(facts, scene, story, shapes, rng, json);
    json.close(b'}');
}

fn resolved(facts: &Facts<'_>, json: &mut Json) {
    json.key("resolvedDateTime");
    if facts.is_resolved() {
        json.time(facts.updated)
    } else {
        json.null()
    };
}

fn comments(facts: &Facts<'_>, scene: &Scene<'_>, json: &mut Json) {
    json.key("comments").open(b'[');
    for n in 1..=facts.revision.min(3) {
        json.open(b'{')
            .key("comment")
            .text(&format!("looked at it, round {n}"));
        json.key("createdByDisplayName").text(&scene.user.display);
        json.key("createdDateTime")
            .time(scene.at + i64::from(n) * SECOND)
            .close(b'}');
    }
    json.close(b']');
}

/// The device, or what the story calls for, or one of the 48 kinds in turn, or both of the last two. Each story meets each of
/// these ways, since the ways change only when all eight stories have been told.
fn evidence(
    facts: &Facts<'_>,
    scene: &Scene<'_>,
    story: &Story,
    shapes: &Shapes,
    rng: &mut StdRng,
    json: &mut Json,
) {
    let told = facts.number / 3;
    let (way, in_turn) = (told / 8 % 4, (told / 16 * 8 + told % 8) as usize);
    json.key("evidence").open(b'[');
    if way == 0 {
        shapes.write(shapes.place("deviceEvidence"), scene, rng, json);
    }
    if way >= 2 {
        shapes.write(shapes.place(story.evidence), scene, rng, json);
    }
    if way % 2 == 1 {
        shapes.write(in_turn, scene, rng, json);
    }
    json.close(b']');
}

/// Writes one version of an incident.
pub(super) fn write_incident(facts: &Facts<'_>, scene: &Scene<'_>, story: &Story, json: &mut Json) {
    let resolved = facts.is_resolved();
    let status = match facts.revision {
        0 => "active",
        1 => "inProgress",
        2 => "awaitingAction",
        _ => "resolved",
    };
    json.open(b'{')
        .key("id")
        .text(facts.id)
        .key("tenantId")
        .text(scene.tenant)
        .key("status")
        .text(status);
    json.key("incidentWebUrl")
        .text(&incident_url(facts.incident, scene.tenant))
        .key("redirectIncidentId")
        .null();
    json.key("displayName")
        .text(&format!("{} on one endpoint", story.title));
    json.key("createdDateTime")
        .time(scene.at)
        .key("lastUpdateDateTime")
        .time(facts.updated);
    json.key("assignedTo").maybe(facts.assigned_to(scene));
    json.key("classification")
        .text(if resolved { "truePositive" } else { "unknown" });
    json.key("determination")
        .text(if resolved { "malware" } else { "unknown" })
        .key("severity")
        .text(story.severity);
    json.key("customTags")
        .texts((facts.revision > 0).then_some("looked-at"))
        .key("systemTags")
        .texts(None);
    json.key("description")
        .text(story.description)
        .key("lastModifiedBy")
        .text("Sample-AlertCorrelation");
    json.key("resolvingComment")
        .maybe(resolved.then_some("done"))
        .key("summary")
        .null();
    json.key("priorityScore").plain(facts.number % 100);
    comments(facts, scene, json);
    json.close(b'}');
}

fn incident_url(incident: u64, tenant: &str) -> String {
    format!("https://security.microsoft.com/incident2/{incident}/overview?tid={tenant}")
}
