//! What stands before the message: PRI, time, host, application.

use std::io::Write;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use tapline_core::{Event, Severity};

/// How a message begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    #[default]
    Rfc5424,
    Rfc3164,
    None,
}

/// Whose name stands as HOSTNAME.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum HostName {
    /// Always this one.
    Fixed(String),
    /// The device that the event is about, this one where it names none.
    DeviceOr(String),
}

/// Longest HOSTNAME, APP-NAME, and MSGID. Source: RFC 5424, section 6.
const HOST_MAX: usize = 255;
pub(crate) const APP_NAME_MAX: usize = 48;
const MSGID_MAX: usize = 32;

/// Everything about headers that is the same for all events of a sink.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) format: Format,
    /// 0 to 23.
    pub(crate) facility: u8,
    pub(crate) host: HostName,
    /// Without it, the schema of the body in capitals (`CEF`), or `tapline`.
    pub(crate) app_name: Option<String>,
    /// Process id.
    pub(crate) proc_id: u32,
    /// Word before the message in RFC 3164.
    pub(crate) tag: Option<String>,
    /// Enterprise number under which the identity is sent as structured data.
    pub(crate) identity_under: Option<u32>,
    /// Whether a byte order mark begins the text of RFC 5424.
    pub(crate) bom: bool,
    /// Zone of the times of RFC 3164, which has none of its own.
    pub(crate) zone: TimeZone,
}

impl Header {
    /// Replaces `out` by the whole message of one event: header and body.
    pub(crate) fn write_message(&self, event: &Event, out: &mut Vec<u8>) {
        out.clear();
        match self.format {
            Format::Rfc5424 => self.write_5424(event, out),
            Format::Rfc3164 => self.write_3164(event, out),
            Format::None => {}
        }
        out.extend_from_slice(event.body());
    }

    /// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID SD `, with at most 6 digits of a second.
    ///
    /// Source: RFC 5424, section 6.
    fn write_5424(&self, event: &Event, out: &mut Vec<u8>) {
        let meta = event.meta();
        put(
            out,
            format_args!("<{}>1 {:.6} ", self.pri(meta.severity), time_of(event)),
        );
        clean_host(self.host_of(event), out);
        out.push(b' ');
        match (&self.app_name, meta.schema) {
            (Some(name), _) => clean(name, APP_NAME_MAX, out),
            (None, Some(schema)) => clean(&schema_word(schema), APP_NAME_MAX, out),
            (None, None) => out.extend_from_slice(b"tapline"),
        }
        put(out, format_args!(" {} ", self.proc_id));
        clean(meta.kind.as_str(), MSGID_MAX, out);
        out.push(b' ');
        self.write_identity(event, out);
        out.push(b' ');
        if self.bom {
            out.extend_from_slice(b"\xEF\xBB\xBF");
        }
    }

    /// `[tapline@32473 uid=".."]`, or `-`.
    fn write_identity(&self, event: &Event, out: &mut Vec<u8>) {
        let Some(number) = self.identity_under else {
            return out.push(b'-');
        };
        put(out, format_args!("[tapline@{number} uid=\""));
        for c in event.meta().uid().chars() {
            match c {
                '"' | '\\' | ']' => put(out, format_args!("\\{c}")),
                // Legal in structured data, but a line break would end the message.
                c if c.is_control() => out.push(b' '),
                c => put(out, format_args!("{c}")),
            }
        }
        out.extend_from_slice(b"\"]");
    }

    /// `<PRI>Mmm dd hh:mm:ss HOST [TAG: ]`: local time, day padded with a space, no domain.
    ///
    /// Source: RFC 3164, section 4.1.
    fn write_3164(&self, event: &Event, out: &mut Vec<u8>) {
        let local = time_of(event).to_zoned(self.zone.clone());
        let pri = self.pri(event.meta().severity);
        put(
            out,
            format_args!("<{pri}>{} ", local.strftime("%b %e %H:%M:%S")),
        );
        clean_host(without_domain(self.host_of(event)), out);
        out.push(b' ');
        if let Some(tag) = &self.tag {
            put(out, format_args!("{tag}: "));
        }
    }

    fn pri(&self, severity: Severity) -> u8 {
        self.facility * 8 + level(severity)
    }

    fn host_of<'a>(&'a self, event: &'a Event) -> &'a str {
        match &self.host {
            HostName::Fixed(name) => name,
            HostName::DeviceOr(name) => event.meta().device.as_deref().unwrap_or(name),
        }
    }
}

/// Syslog's severity: 2 critical, 3 error, 4 warning, 5 notice, 6 informational.
fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Informational | Severity::Unknown => 6,
    }
}

fn time_of(event: &Event) -> Timestamp {
    event.meta().event_time.unwrap_or(event.meta().arrival)
}

/// `CEF` of `cef/0`.
fn schema_word(schema: &str) -> String {
    let word = schema.split('/').next().unwrap_or(schema);
    word.to_ascii_uppercase()
}

fn without_domain(host: &str) -> &str {
    if host.parse::<IpAddr>().is_ok() {
        return host;
    }
    host.split('.').next().unwrap_or(host)
}

/// Appends a host name or an address, and nothing that could be taken for the start of a body: a
/// device may call itself `CEF:0|..`, and there are receivers that search a line for that.
fn clean_host(text: &str, out: &mut Vec<u8>) {
    let begin = out.len();
    clean(text, HOST_MAX, out);
    for byte in &mut out[begin..] {
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-' | b'_' | b':') {
            *byte = b'_';
        }
    }
}

/// Appends at most `max` characters of a header field; what is not printable ASCII becomes `_`,
/// and nothing becomes `-`.
fn clean(text: &str, max: usize, out: &mut Vec<u8>) {
    if text.is_empty() {
        return out.push(b'-');
    }
    let printable = |c: char| match c {
        '!'..='~' => c as u8,
        _ => b'_',
    };
    out.extend(text.chars().take(max).map(printable));
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use tapline_testkit::event;

    use super::*;

    fn header() -> Header {
        Header {
            format: Format::Rfc5424,
            facility: 16,
            host: HostName::Fixed("pipeline.example".to_owned()),
            app_name: None,
            proc_id: 42,
            tag: None,
            identity_under: None,
            bom: false,
            zone: TimeZone::UTC,
        }
    }

    fn alert(time: &str) -> Event {
        let mut event = event("graph.alert", "da1", "v1", "CEF:0|x|");
        event.meta_mut().event_time = Some(time.parse().unwrap());
        event.meta_mut().severity = Severity::High;
        event
    }

    fn check(header: &Header, event: &Event, expected: &str) {
        let mut out = b"left over".to_vec();
        header.write_message(event, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn rfc_5424_has_seven_fields_and_six_digits() {
        let event = alert("2026-01-02T03:04:05.1234567Z");
        let expected =
            "<131>1 2026-01-02T03:04:05.123456Z pipeline.example tapline 42 graph.alert - CEF:0|x|";
        check(&header(), &event, expected);
    }

    #[test]
    fn the_application_is_the_schema_unless_it_is_configured() {
        let mut event = alert("2026-01-02T03:04:05Z");
        let body = event.body().clone();
        event.rewrite(body, "cef/0");
        let expected = |app| {
            format!(
                "<131>1 2026-01-02T03:04:05.000000Z pipeline.example {app} 42 graph.alert - CEF:0|x|"
            )
        };
        check(&header(), &event, &expected("CEF"));
        let mut own = header();
        own.app_name = Some("defender".to_owned());
        check(&own, &event, &expected("defender"));
    }

    #[test]
    fn rfc_3164_pads_the_day_with_a_space_and_drops_the_domain() {
        let event = alert("2026-01-02T03:04:05.9Z");
        let mut header = header();
        header.format = Format::Rfc3164;
        check(&header, &event, "<131>Jan  2 03:04:05 pipeline CEF:0|x|");
        header.tag = Some("defender".to_owned());
        check(
            &header,
            &event,
            "<131>Jan  2 03:04:05 pipeline defender: CEF:0|x|",
        );
        header.host = HostName::Fixed("10.1.2.3".to_owned());
        header.zone = TimeZone::fixed(jiff::tz::offset(-4));
        check(
            &header,
            &event,
            "<131>Jan  1 23:04:05 10.1.2.3 defender: CEF:0|x|",
        );
    }

    #[test]
    fn without_a_format_the_body_stands_alone() {
        let mut header = header();
        header.format = Format::None;
        check(&header, &alert("2026-01-02T03:04:05Z"), "CEF:0|x|");
    }

    #[test]
    fn no_field_can_forge_another_one() {
        let mut event = event("hunting.A B\n<0>1 ", "a\"]\\\n[x", "1", "body");
        event.meta_mut().event_time = Some("2026-01-02T03:04:05Z".parse().unwrap());
        event.meta_mut().device = Some(format!("dé vice\r\n{}", "x".repeat(300)).into());
        let mut header = header();
        header.host = HostName::DeviceOr("fallback".to_owned());
        header.identity_under = Some(32473);
        header.bom = true;
        let host = format!("d__vice__{}", "x".repeat(246));
        let expected = format!(
            "<134>1 2026-01-02T03:04:05.000000Z {host} tapline 42 hunting.A_B_<0>1_ \
             [tapline@32473 uid=\"contoso:hunting.A B <0>1 :a\\\"\\]\\\\ [x:1\"] \u{feff}body"
        );
        check(&header, &event, &expected);
    }

    #[test]
    fn a_device_cannot_call_itself_a_body() {
        let mut event = alert("2026-01-02T03:04:05Z");
        event.meta_mut().device = Some("CEF:0|Evil|act=forged".into());
        let mut header = header();
        header.host = HostName::DeviceOr("fallback".to_owned());
        let expected = "<131>1 2026-01-02T03:04:05.000000Z CEF:0_Evil_act_forged tapline 42 \
                        graph.alert - CEF:0|x|";
        check(&header, &event, expected);
    }

    #[test]
    fn every_severity_has_its_level() {
        for (severity, expected) in [
            (Severity::Critical, 130),
            (Severity::High, 131),
            (Severity::Medium, 132),
            (Severity::Low, 133),
            (Severity::Informational, 134),
            (Severity::Unknown, 134),
        ] {
            assert_eq!(header().pri(severity), expected);
        }
    }
}
