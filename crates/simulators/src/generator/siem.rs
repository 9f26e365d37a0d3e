//! Detections of the legacy exporter: fifty fields, absent ones as empty text.
//! Source: windows-itpro-docs, "pull alerts using REST API" (02e5e9c).

use super::scene::{Scene, guid, hex};
use super::story::Story;
use super::write::Json;
use crate::ticks::SECOND;
use rand::Rng;
use rand::rngs::StdRng;

/// Writes one detection, and gives its `FullId`.
pub(super) fn write(
    number: u64,
    updated: i64,
    scene: &Scene<'_>,
    story: &Story,
    rng: &mut StdRng,
    json: &mut Json,
) -> String {
    let alert = format!(
        "da63{:016}_{}",
        8_000_000_000_000_000 + number,
        rng.random_range(-2_000_000_000_i64..2_000_000_000)
    );
    let unique = base64_like(rng);
    let full = format!("{alert}:{unique}");
    let antivirus = story.category == "Malware";
    let (host, user, program) = (scene.host, scene.user, scene.program);
    let domain_user = format!("corp\\{}", user.name);
    let portal = format!("https://securitycenter.windows.com/alert/{alert}");
    let modern = format!(
        "https://security.microsoft.com/alert/{alert}?tid={}",
        scene.tenant
    );
    let of_malware = |text: &'static str| if antivirus { text } else { "" };

    json.open(b'{');
    json.key("AlertTime")
        .full_time(updated - rng.random_range(1..600) * SECOND);
    let texts = [
        ("ComputerDnsName", host.dns.as_str()),
        ("AlertTitle", story.title),
        ("Category", story.category),
    ];
    fields(json, &texts);
    fields(
        json,
        &[
            ("Severity", capital(story.severity)),
            ("AlertId", &alert),
            ("Actor", ""),
            ("LinkToWDATP", &portal),
        ],
    );
    fields(
        json,
        &[
            ("IocName", ""),
            ("IocValue", ""),
            ("CreatorIocName", ""),
            ("CreatorIocValue", ""),
        ],
    );
    fields(
        json,
        &[
            ("Sha1", &scene.sha1),
            ("FileName", program.file),
            ("FilePath", program.folder),
        ],
    );
    fields(
        json,
        &[
            ("IpAddress", if antivirus { "" } else { &scene.outer_ip }),
            ("Url", ""),
        ],
    );
    fields(
        json,
        &[("IoaDefinitionId", &guid(rng)), ("UserName", &user.name)],
    );
    json.key("AlertPart").plain(0);
    fields(json, &[("FullId", &full)]);
    json.key("LastProcessedTimeUtc").full_time(updated);
    fields(
        json,
        &[
            ("ThreatCategory", of_malware("Trojan")),
            ("ThreatFamily", of_malware("Samplex")),
        ],
    );
    fields(
        json,
        &[
            ("ThreatName", of_malware("Trojan:Win32/Samplex.A")),
            ("RemediationAction", of_malware("Quarantine")),
        ],
    );
    json.key("RemediationIsSuccess")
        .plain(if antivirus { "true" } else { "null" });
    fields(
        json,
        &[
            ("Source", if antivirus { "Antivirus" } else { "EDR" }),
            ("Md5", &scene.md5),
            ("Sha256", &scene.sha256),
        ],
    );
    json.key("WasExecutingWhileDetected")
        .plain(if antivirus { "false" } else { "null" });
    fields(
        json,
        &[
            ("UserDomain", "corp"),
            ("LogOnUsers", &domain_user),
            ("MachineDomain", "corp.example"),
        ],
    );
    fields(
        json,
        &[
            ("MachineName", &host.name),
            ("InternalIPv4List", &host.ip),
            ("InternalIPv6List", ""),
        ],
    );
    fields(
        json,
        &[
            ("FileHash", &scene.sha1),
            ("DeviceID", &host.device_id),
            ("MachineGroup", host.group),
        ],
    );
    fields(
        json,
        &[
            ("Description", story.description),
            ("DeviceCreatedMachineTags", ""),
            ("CloudCreatedMachineTags", ""),
        ],
    );
    fields(
        json,
        &[
            ("CommandLine", program.command),
            ("IncidentLinkToWDATP", &portal),
        ],
    );
    json.key("ReportID").plain(rng.random_range(1..1_000_000));
    fields(
        json,
        &[("LinkToMTP", &modern), ("IncidentLinkToMTP", &modern)],
    );
    fields(
        json,
        &[
            ("ExternalId", &hex(rng, 40).to_uppercase()),
            ("IocUniqueId", &unique),
        ],
    );
    json.close(b'}');
    full
}

fn fields(json: &mut Json, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        json.key(name).text(value);
    }
}

fn capital(severity: &str) -> &'static str {
    match severity {
        "high" => "High",
        "medium" => "Medium",
        "low" => "Low",
        _ => "Informational",
    }
}

/// Forty-four letters as base64 of 32 bytes has them.
fn base64_like(rng: &mut StdRng) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text: String = (0..43)
        .map(|_| char::from(LETTERS[rng.random_range(0..64)]))
        .collect();
    text.push('=');
    text
}
