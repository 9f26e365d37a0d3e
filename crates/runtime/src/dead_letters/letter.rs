//! One line per letter: JSON with a format version.

use std::borrow::Cow;

use serde::Serialize;

use super::Letter;

const FORMAT: u8 = 1;

#[derive(Serialize)]
struct Line<'a> {
    format: u8,
    at: String,
    component: &'a str,
    component_kind: &'a str,
    reason: &'a str,
    why: &'a str,
    /// Id of the source that read it.
    source: &'a str,
    partition: &'a str,
    #[serde(flatten)]
    cursor: Payload<'a>,
    kind: &'a str,
    tenant: &'a str,
    id: &'a str,
    version: &'a str,
    arrival: String,
    schema: Option<&'a str>,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor_base64: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<Cow<'a, str>>,
}

/// The letter as a line, with its end.
pub(super) fn encode(letter: &Letter) -> Vec<u8> {
    let meta = letter.event.meta();
    let (cursor, cursor_base64) = text_or_base64(meta.origin.cursor.as_bytes());
    let (body, body_base64) = text_or_base64(letter.event.body());
    let line = Line {
        format: FORMAT,
        at: letter.at.to_string(),
        component: &letter.component.id,
        component_kind: letter.component.kind.as_str(),
        reason: letter.reason,
        why: &letter.why,
        source: &meta.component,
        partition: &meta.origin.partition,
        cursor: Payload {
            cursor,
            cursor_base64,
        },
        kind: meta.kind.as_str(),
        tenant: &meta.tenant,
        id: &meta.id,
        version: &meta.version,
        arrival: meta.arrival.to_string(),
        schema: meta.schema,
        body: Body { body, body_base64 },
    };
    let mut bytes = serde_json::to_vec(&line).expect("text and numbers serialize");
    bytes.push(b'\n');
    bytes
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<Cow<'_, str>>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(Cow::Owned(base64(bytes)))),
    }
}

/// Source: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() {
                digit.into()
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads_as_in_the_examples_of_its_specification() {
        // Source: RFC 4648, section 10.
        let check = |bytes: &str, expected: &str| assert_eq!(base64(bytes.as_bytes()), expected);
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foobar", "Zm9vYmFy");
    }
}
