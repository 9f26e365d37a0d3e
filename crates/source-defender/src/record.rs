//! What is read of one record without parsing it as a whole: identity, times, severity, device.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use tapline_core::Severity;

use crate::scan::{ScanError, Scanner};
use crate::times::Ticks;

/// What is known of a record; text is borrowed from its bytes unless it holds escapes.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) version: Cow<'a, str>,
    /// The time that the API filters by; legacy detections may have none.
    pub(crate) time: Option<Ticks>,
    pub(crate) event_time: Option<Timestamp>,
    pub(crate) severity: Severity,
    pub(crate) status: Cow<'a, str>,
    pub(crate) device: Option<Cow<'a, str>>,
}

/// A record without an identity.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) why: String,
    pub(crate) time: Option<Ticks>,
}

/// The version of what never changes.
const IMMUTABLE: &str = "1";

/// What is known of a record, or why that is not enough.
pub(crate) type Read<'a> = Result<Record<'a>, Unusable>;

#[derive(Default)]
struct GraphMembers<'a> {
    id: Text<'a>,
    updated: Text<'a>,
    created: Text<'a>,
    severity: Text<'a>,
    status: Text<'a>,
    device: Text<'a>,
}

#[derive(Default)]
struct EvidenceMembers<'a> {
    odata_type: Text<'a>,
    dns_name: Text<'a>,
    host_name: Text<'a>,
    device_id: Text<'a>,
}

#[derive(Default)]
struct DetectionMembers<'a> {
    full_id: Text<'a>,
    alert_id: Text<'a>,
    processed: Text<'a>,
    alert_time: Text<'a>,
    severity: Text<'a>,
    dns_name: Text<'a>,
    machine_name: Text<'a>,
}

/// A member of another type than expected reads as absent; it never makes the record unreadable.
type Text<'a> = Option<Cow<'a, str>>;

/// Reads an alert or an incident of Graph; it is unusable if it is no object, or has no `id` or no
/// `lastUpdateDateTime`.
///
/// # Errors
/// [`ScanError`] if it is no JSON.
pub(crate) fn graph<'a>(scanner: &mut Scanner<'a>) -> Result<Read<'a>, ScanError> {
    if scanner.peek() != Some(b'{') {
        return scanner.skip().map(|()| Err(no_object()));
    }
    let mut members = GraphMembers::default();
    scanner.object(|name, scanner| {
        let member = match name {
            "id" => &mut members.id,
            "lastUpdateDateTime" => &mut members.updated,
            "createdDateTime" => &mut members.created,
            "severity" => &mut members.severity,
            "status" => &mut members.status,
            "evidence" => {
                members.device = first_device(scanner)?;
                return Ok(());
            }
            _ => return scanner.skip(),
        };
        *member = scanner.text()?;
        Ok(())
    })?;
    Ok(of_graph(members))
}

fn of_graph(members: GraphMembers<'_>) -> Read<'_> {
    let version = filled(members.updated);
    let time = version.as_deref().and_then(Ticks::parse);
    let unusable = |why: &str| Unusable {
        why: why.to_owned(),
        time,
    };
    Ok(Record {
        id: filled(members.id).ok_or_else(|| unusable("id is no text"))?,
        version: version
            .filter(|_| time.is_some())
            .ok_or_else(|| unusable("lastUpdateDateTime is no time"))?,
        time,
        event_time: timestamp(&members.created),
        severity: severity(&members.severity),
        status: members.status.unwrap_or_default(),
        device: members.device,
    })
}

/// Reads a detection of the legacy API; it is unusable if it is no object, or has neither `FullId`
/// nor `AlertId`.
///
/// # Errors
/// [`ScanError`] if it is no JSON.
pub(crate) fn detection<'a>(scanner: &mut Scanner<'a>) -> Result<Read<'a>, ScanError> {
    if scanner.peek() != Some(b'{') {
        return scanner.skip().map(|()| Err(no_object()));
    }
    let mut members = DetectionMembers::default();
    scanner.object(|name, scanner| {
        let member = match name {
            "FullId" => &mut members.full_id,
            "AlertId" => &mut members.alert_id,
            "LastProcessedTimeUtc" => &mut members.processed,
            "AlertTime" => &mut members.alert_time,
            "Severity" => &mut members.severity,
            "ComputerDnsName" => &mut members.dns_name,
            "MachineName" => &mut members.machine_name,
            _ => return scanner.skip(),
        };
        *member = scanner.text()?;
        Ok(())
    })?;
    Ok(of_detection(members))
}

fn of_detection(members: DetectionMembers<'_>) -> Read<'_> {
    let processed = filled(members.processed);
    let time = processed.as_deref().and_then(Ticks::parse);
    let id = filled(members.full_id).or(filled(members.alert_id));
    Ok(Record {
        id: id.ok_or_else(|| Unusable {
            why: "neither FullId nor AlertId is text".to_owned(),
            time,
        })?,
        version: processed.unwrap_or(Cow::Borrowed(IMMUTABLE)),
        time,
        event_time: timestamp(&members.alert_time),
        severity: severity(&members.severity),
        status: Cow::Borrowed(""),
        device: filled(members.dns_name).or(filled(members.machine_name)),
    })
}

/// Reads a record that stands by itself.
pub(crate) fn alone<'a>(
    json: &'a str,
    read: impl FnOnce(&mut Scanner<'a>) -> Result<Read<'a>, ScanError>,
) -> Read<'a> {
    let mut scanner = Scanner::new(json);
    let record = read(&mut scanner).and_then(|record| scanner.end().map(|()| record));
    record.unwrap_or_else(|error| Err(unreadable(error)))
}

fn no_object() -> Unusable {
    unreadable("it is no object")
}

fn unreadable(why: impl fmt::Display) -> Unusable {
    Unusable {
        why: format!("the record cannot be read: {why}"),
        time: None,
    }
}

/// The legacy API writes absent text as `""`.
fn filled(text: Text<'_>) -> Text<'_> {
    text.filter(|text| !text.is_empty())
}

fn timestamp(text: &Text<'_>) -> Option<Timestamp> {
    Ticks::parse(text.as_deref()?).map(Ticks::to_timestamp)
}

fn severity(text: &Text<'_>) -> Severity {
    let severity = text.as_deref().map(Severity::from_defender);
    severity.unwrap_or(Severity::Unknown)
}

/// The name of the first device among the evidence, else its id.
fn first_device<'a>(scanner: &mut Scanner<'a>) -> Result<Text<'a>, ScanError> {
    let mut device = None;
    if scanner.peek() != Some(b'[') {
        return scanner.skip().map(|()| device);
    }
    scanner.list(|scanner| {
        if device.is_some() || scanner.peek() != Some(b'{') {
            return scanner.skip();
        }
        device = device_name(scanner)?;
        Ok(())
    })?;
    Ok(device)
}

fn device_name<'a>(scanner: &mut Scanner<'a>) -> Result<Text<'a>, ScanError> {
    let mut members = EvidenceMembers::default();
    scanner.object(|name, scanner| {
        let member = match name {
            "@odata.type" => &mut members.odata_type,
            "deviceDnsName" => &mut members.dns_name,
            "hostName" => &mut members.host_name,
            "mdeDeviceId" => &mut members.device_id,
            _ => return scanner.skip(),
        };
        *member = scanner.text()?;
        Ok(())
    })?;
    let odata_type = members.odata_type.unwrap_or_default();
    let name = (filled(members.dns_name))
        .or(filled(members.host_name))
        .or(filled(members.device_id));
    Ok(name.filter(|_| odata_type.ends_with(".deviceEvidence")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(json: &str) -> Read<'_> {
        alone(json, super::graph)
    }

    fn detection(json: &str) -> Read<'_> {
        alone(json, super::detection)
    }

    #[test]
    fn an_alert_yields_what_routing_needs() {
        let record = graph(
            r##"{"id":"da1","lastUpdateDateTime":"2026-01-02T03:06:00.01Z","severity":"High","status":"new",
            "createdDateTime":"2026-01-02T03:04:05Z","big":123456789012345678901234567890,
            "evidence":[null,{"@odata.type":"#microsoft.graph.security.ioTDeviceEvidence","deviceDnsName":"no"},
            {"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":null,"hostName":"pc7"}]}"##,
        )
        .expect("usable");
        assert_eq!(
            (&*record.id, &*record.version),
            ("da1", "2026-01-02T03:06:00.01Z")
        );
        assert_eq!(record.device.as_deref(), Some("pc7"));
        assert_eq!((record.severity, &*record.status), (Severity::High, "new"));
        assert!(matches!(record.id, Cow::Borrowed(_)));
    }

    #[test]
    fn wrong_types_beside_the_identity_do_not_hurt() {
        let record = graph(
            r#"{"id":"\u0041","lastUpdateDateTime":"2026-01-02T03:06:00Z","severity":7,"status":[],
            "createdDateTime":{"a":[1]},"evidence":{"x":1.5}}"#,
        )
        .expect("usable");
        assert_eq!((&*record.id, record.severity), ("A", Severity::Unknown));
        assert_eq!((record.event_time, record.device), (None, None));
    }

    #[test]
    fn a_record_without_an_identity_is_unusable_and_says_why() {
        let check = |json: &str, expected: &str| {
            let unusable = graph(json).expect_err("unusable");
            assert!(unusable.why.contains(expected), "{}", unusable.why);
        };
        check(
            r#"{"id":7,"lastUpdateDateTime":"2026-01-02T03:06:00Z"}"#,
            "id is no text",
        );
        check(
            r#"{"id":"x","lastUpdateDateTime":null}"#,
            "lastUpdateDateTime",
        );
        check(
            r#"{"id":"x","lastUpdateDateTime":"soon"}"#,
            "lastUpdateDateTime",
        );
        check("17", "cannot be read");
    }

    #[test]
    fn a_detection_is_known_by_full_id_or_alert_id_in_both_generations() {
        let check = |json: &str, id: &str, version: &str| {
            let record = detection(json).expect("usable");
            assert_eq!((&*record.id, &*record.version), (id, version));
        };
        check(
            r#"{"AlertId":"a","FullId":"a:b","LastProcessedTimeUtc":"2025-03-04T10:13:00.0000001Z","Actor":null}"#,
            "a:b",
            "2025-03-04T10:13:00.0000001Z",
        );
        check(
            r#"{"AlertId":"a","FullId":"","LastProcessedTimeUtc":""}"#,
            "a",
            "1",
        );
        check(r#"{"AlertId":"a","FullId":null}"#, "a", "1");
        assert!(detection(r#"{"AlertTitle":"x"}"#).is_err());
    }
}
