//! What is read of one record without parsing it as a whole: identity, times, severity, device.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use tapline_core::Severity;

use crate::loose::{LooseList, LooseObject, LooseText};
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

#[derive(serde::Deserialize)]
struct GraphMembers<'a> {
    #[serde(borrow, default)]
    id: LooseText<'a>,
    #[serde(borrow, default, rename = "lastUpdateDateTime")]
    updated: LooseText<'a>,
    #[serde(borrow, default, rename = "createdDateTime")]
    created: LooseText<'a>,
    #[serde(borrow, default)]
    severity: LooseText<'a>,
    #[serde(borrow, default)]
    status: LooseText<'a>,
    #[serde(borrow, default)]
    evidence: LooseList<FirstDevice<'a>>,
}

#[derive(Default, serde::Deserialize)]
struct EvidenceMembers<'a> {
    #[serde(borrow, default, rename = "@odata.type")]
    odata_type: LooseText<'a>,
    #[serde(borrow, default, rename = "deviceDnsName")]
    dns_name: LooseText<'a>,
    #[serde(borrow, default, rename = "hostName")]
    host_name: LooseText<'a>,
    #[serde(borrow, default, rename = "mdeDeviceId")]
    device_id: LooseText<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DetectionMembers<'a> {
    #[serde(borrow, default)]
    full_id: LooseText<'a>,
    #[serde(borrow, default)]
    alert_id: LooseText<'a>,
    #[serde(borrow, default)]
    last_processed_time_utc: LooseText<'a>,
    #[serde(borrow, default)]
    alert_time: LooseText<'a>,
    #[serde(borrow, default)]
    severity: LooseText<'a>,
    #[serde(borrow, default)]
    computer_dns_name: LooseText<'a>,
    #[serde(borrow, default)]
    machine_name: LooseText<'a>,
}

/// Reads an alert or an incident of Graph.
///
/// # Errors
/// [`Unusable`] if it is no object, or has no `id` or no `lastUpdateDateTime`.
pub(crate) fn graph(json: &str) -> Result<Record<'_>, Unusable> {
    let members: GraphMembers<'_> = members(json)?;
    let version = members.updated.filled();
    let time = version.as_deref().and_then(Ticks::parse);
    let unusable = |why: &str| Unusable {
        why: why.to_owned(),
        time,
    };
    Ok(Record {
        id: members
            .id
            .filled()
            .ok_or_else(|| unusable("id is no text"))?,
        version: version
            .filter(|_| time.is_some())
            .ok_or_else(|| unusable("lastUpdateDateTime is no time"))?,
        time,
        event_time: timestamp(&members.created),
        severity: severity(&members.severity),
        status: members.status.0.unwrap_or_default(),
        device: members.evidence.0.0,
    })
}

/// Reads a detection of the legacy API.
///
/// # Errors
/// [`Unusable`] if it is no object, or has neither `FullId` nor `AlertId`.
pub(crate) fn detection(json: &str) -> Result<Record<'_>, Unusable> {
    let members: DetectionMembers<'_> = members(json)?;
    let processed = members.last_processed_time_utc.filled();
    let time = processed.as_deref().and_then(Ticks::parse);
    let id = members.full_id.filled().or(members.alert_id.filled());
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
        device: (members.computer_dns_name.filled()).or(members.machine_name.filled()),
    })
}

fn members<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Unusable> {
    serde_json::from_str(json).map_err(|error| Unusable {
        why: format!("the record cannot be read: {error}"),
        time: None,
    })
}

fn timestamp(text: &LooseText<'_>) -> Option<Timestamp> {
    Ticks::parse(text.0.as_deref()?).map(Ticks::to_timestamp)
}

fn severity(text: &LooseText<'_>) -> Severity {
    text.0
        .as_deref()
        .map_or(Severity::Unknown, Severity::from_defender)
}

/// The name of the first device among the evidence, else its id.
#[derive(Default)]
struct FirstDevice<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for FirstDevice<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DeviceVisitor)
    }
}

struct DeviceVisitor;

impl<'de> Visitor<'de> for DeviceVisitor {
    type Value = FirstDevice<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of evidence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut evidence: A) -> Result<Self::Value, A::Error> {
        let mut device = None;
        while let Some(LooseObject(members)) =
            evidence.next_element::<LooseObject<EvidenceMembers<'de>>>()?
        {
            device = device.or_else(|| device_name(members));
        }
        Ok(FirstDevice(device))
    }
}

fn device_name(members: EvidenceMembers<'_>) -> Option<Cow<'_, str>> {
    let odata_type = members.odata_type.0?;
    let is_device = odata_type.ends_with(".deviceEvidence");
    let name = (members.dns_name.filled())
        .or(members.host_name.filled())
        .or(members.device_id.filled());
    name.filter(|_| is_device)
}

#[cfg(test)]
mod tests {
    use super::*;

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
