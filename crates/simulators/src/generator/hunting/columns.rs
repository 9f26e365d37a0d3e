//! What stands in a column: by its name where it is known, else by its type.

use super::super::scene::{Program, guid, hex};
use super::super::write::Json;
use super::{Column, ColumnType, Subject, numbered_guid};
use crate::ticks::SECOND;
use rand::Rng;
use rand::rngs::StdRng;

/// The value that makes the row another one than all before.
pub(super) fn unique(column: &Column, subject: &Subject<'_>, rng: &mut StdRng, json: &mut Json) {
    let number = subject.number;
    match (column.name, column.of) {
        ("AlertId", _) => json.text(subject.alert),
        ("AdditionalFields", _) => json.text(&format!(
            "{{\"$id\":\"{number}\",\"Asset\":true,\"Type\":\"sample\",\"Detail\":\"a|b=c \\\\ \u{fc}\"}}"
        )),
        // beyond what a double can hold, as seen in captures of these two tables
        ("ReportId", ColumnType::Whole) if matches!(subject.table, "DeviceInfo" | "DeviceNetworkInfo") => {
            json.plain(639_199_803_000_000_001 + number)
        }
        (_, ColumnType::Whole) => json.plain(number),
        (name, ColumnType::Text) if !name.ends_with("Id") => json.text(&format!("{} {number}", name.to_lowercase())),
        _ => json.text(&numbered_guid(number, rng)),
    };
}

/// Any other value.
pub(super) fn value(column: &Column, subject: &Subject<'_>, rng: &mut StdRng, json: &mut Json) {
    match column.of {
        ColumnType::Text => text(column.name, subject, rng, json),
        ColumnType::Time => time(column.name, subject, rng, json),
        ColumnType::Whole => whole(column.name, rng, json),
        ColumnType::Truth => truth(rng, json),
        ColumnType::Dynamic => dynamic(column.name, subject, rng, json),
        ColumnType::Guid => {
            json.text(&guid(rng));
        }
        ColumnType::Real => {
            json.plain(f64::from(rng.random_range(0..100)) / 10.0);
        }
    }
}

fn time(name: &str, subject: &Subject<'_>, rng: &mut StdRng, json: &mut Json) {
    if name == "Timestamp" || name == "ActivityTimestamp" {
        json.full_time(subject.scene.at);
    } else if rng.random_bool(0.3) {
        json.null();
    } else {
        json.time(subject.scene.at - rng.random_range(0..86_400) * SECOND);
    }
}

fn whole(name: &str, rng: &mut StdRng, json: &mut Json) {
    let number = match name {
        _ if name.ends_with("Port") => [443, 80, 53, 3389, 49_812, 0][rng.random_range(0..6)],
        _ if name.ends_with("Size") => rng.random_range(1_000..90_000_000),
        _ if name.ends_with("Id") || name.ends_with("ID") => rng.random_range(4..100_000),
        _ if name.starts_with("Is") => rng.random_range(0..2),
        _ if rng.random_bool(0.4) => {
            json.null();
            return;
        }
        _ => rng.random_range(0..1_000),
    };
    json.plain(number);
}

fn truth(rng: &mut StdRng, json: &mut Json) {
    match rng.random_range(0..4) {
        0 => json.null(),
        1 => json.plain(true),
        _ => json.plain(false),
    };
}

fn dynamic(name: &str, subject: &Subject<'_>, rng: &mut StdRng, json: &mut Json) {
    let scene = subject.scene;
    match rng.random_range(0..4) {
        0 => json.null(),
        1 => json.texts(["Sample", scene.user.upn.as_str()]),
        2 if name.ends_with('s') && name != "AdditionalFields" => json.texts([]),
        _ => json
            .open(b'{')
            .key("Id")
            .text(&scene.guid)
            .key("Count")
            .plain(rng.random_range(0..10))
            .key("Source")
            .text(&scene.outer_ip)
            .close(b'}'),
    };
}

/// Columns that any table may have come first; a column of nobody's is often empty, as in captures.
fn text(name: &str, subject: &Subject<'_>, rng: &mut StdRng, json: &mut Json) {
    if let Some(value) = of_alert(name, subject).or_else(|| of_scene(name, subject, rng)) {
        json.text(&value);
        return;
    }
    match rng.random_range(0..10) {
        0..4 => json.null(),
        4 => json.text(""),
        _ if name.ends_with("Id") || name.ends_with("ID") => json.text(&guid(rng)),
        _ => json.text(&format!("sample {}", rng.random_range(0..100))),
    };
}

fn of_alert(name: &str, subject: &Subject<'_>) -> Option<String> {
    let story = subject.story;
    let value = match name {
        "AlertId" => subject.alert.to_owned(),
        "Title" => story.title.to_owned(),
        "Category" => story.category.to_owned(),
        "Categories" => format!("[\"{}\"]", story.category),
        "AttackTechniques" => story
            .technique
            .map_or_else(String::new, |id| format!("[\"Sample Technique ({id})\"]")),
        "ServiceSource" => story.product.to_owned(),
        "DetectionSource" => "EDR".to_owned(),
        "Severity" => capital(story.severity),
        "EvidenceRole" => ["Impacted", "Related"][subject.number as usize % 2].to_owned(),
        "EvidenceDirection" => ["Source", "Destination"][subject.number as usize % 2].to_owned(),
        _ => return None,
    };
    Some(value)
}

fn of_scene(name: &str, subject: &Subject<'_>, rng: &mut StdRng) -> Option<String> {
    let (scene, program) = (subject.scene, subject.scene.program);
    let ends = |end: &str| name.ends_with(end);
    let value = match name {
        "DeviceId" => scene.host.device_id.clone(),
        "MachineGroup" => scene.host.group.to_owned(),
        "ActionType" => action(subject, rng).to_owned(),
        "AdditionalFields" => additional(rng),
        "OSPlatform" => {
            ["Windows11", "WindowsServer2022", "Linux", "macOS"][rng.random_range(0..4)].to_owned()
        }
        "OSVersion" => "10.0".to_owned(),
        "LocalIP" => scene.host.ip.clone(),
        "Protocol" => ["Tcp", "Udp"][rng.random_range(0..2)].to_owned(),
        "Country" | "CountryCode" => "CH".to_owned(),
        "City" => "Z\u{fc}rich".to_owned(),
        "UserAgent" => "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Sample/1.0".to_owned(),
        "ThreatTypes" => ["", "Phish", "Malware", "Spam"][rng.random_range(0..4)].to_owned(),
        "EmailSubject" | "Subject" => {
            format!("Invoice no. {} | \u{201c}urgent\u{201d}", subject.number)
        }
        "RegistryKey" => "HKEY_LOCAL_MACHINE\\SOFTWARE\\Sample\\Run".to_owned(),
        _ if ends("DeviceName") => scene.host.dns.clone(),
        _ if ends("AccountUpn") || ends("EmailAddress") || ends("FromAddress") => {
            scene.user.upn.clone()
        }
        _ if ends("AccountName") => scene.user.name.clone(),
        _ if ends("AccountDomain") => "corp".to_owned(),
        _ if ends("AccountDisplayName") => scene.user.display.clone(),
        _ if ends("AccountSid") => scene.user.sid.clone(),
        _ if ends("AccountObjectId") => scene.user.azure_id.clone(),
        _ if ends("IP") || ends("IPAddress") || ends("IpAddress") => scene.outer_ip.clone(),
        _ if ends("SHA1") => scene.sha1.clone(),
        _ if ends("SHA256") => scene.sha256.clone(),
        _ if ends("MD5") => scene.md5.clone(),
        _ if ends("FileName") => program.file.to_owned(),
        _ if ends("FolderPath") => path(name, program),
        _ if ends("CommandLine") => program.command.to_owned(),
        _ if ends("Url") => format!("https://files.example/{}", hex(rng, 6)),
        _ => return None,
    };
    Some(value)
}

/// The path of an initiating process is in lower case and has the file in it, as seen in captures.
fn path(name: &str, program: &Program) -> String {
    let separator = if program.folder.starts_with('/') {
        '/'
    } else {
        '\\'
    };
    let whole = format!("{}{separator}{}", program.folder, program.file);
    if name.starts_with("Initiating") {
        whole.to_lowercase()
    } else {
        whole
    }
}

fn additional(rng: &mut StdRng) -> String {
    match rng.random_range(0..4) {
        0 => String::new(),
        1 => "{}".to_owned(),
        _ => format!(
            "{{\"Detail\":\"line one\\r\\nline two\",\"Count\":{}}}",
            rng.random_range(0..9)
        ),
    }
}

fn action(subject: &Subject<'_>, rng: &mut StdRng) -> &'static str {
    let choices: &[&str] = match subject.table {
        "DeviceProcessEvents" => &["ProcessCreated"],
        "DeviceFileEvents" => &["FileCreated", "FileModified", "FileDeleted", "FileRenamed"],
        "DeviceImageLoadEvents" => &["ImageLoaded"],
        "DeviceLogonEvents" | "IdentityLogonEvents" => &["LogonSuccess", "LogonFailed"],
        "DeviceRegistryEvents" => &[
            "RegistryValueSet",
            "RegistryKeyCreated",
            "RegistryValueDeleted",
        ],
        "DeviceNetworkEvents" => &[
            "ConnectionSuccess",
            "ConnectionFailed",
            "DnsConnectionInspected",
            "InboundConnectionAccepted",
        ],
        "DeviceEvents" => &[
            "AntivirusDetection",
            "PowerShellCommand",
            "NamedPipeEvent",
            "AsrOfficeChildProcessBlocked",
            "DriverLoad",
        ],
        "EmailPostDeliveryEvents" => &["Phish ZAP", "Manual Remediation"],
        "UrlClickEvents" => &["ClickAllowed", "ClickBlocked"],
        "IdentityQueryEvents" => &["LDAP query", "SAMR query"],
        "IdentityDirectoryEvents" => &["Group Membership changed", "Account Password changed"],
        _ => &[
            "FileUploaded",
            "MailItemsAccessed",
            "ImpossibleTravelActivity",
        ],
    };
    choices[rng.random_range(0..choices.len())]
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
