//! Shared access signatures.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tapline_core::Secret;

/// Signs that the holder may use a resource until a time, in seconds since 1970.
///
/// Source: "Authenticate access to Event Hubs with shared access signatures", seen 2026. The key
/// is used as the text it is, not as the bytes that it encodes.
pub(crate) fn signature(resource: &str, policy: &str, key: &Secret, until: i64) -> Secret {
    let resource = encoded(resource);
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("a key may have any length");
    mac.update(format!("{resource}\n{until}").as_bytes());
    let signature = encoded(&STANDARD.encode(mac.finalize().into_bytes()));
    let policy = encoded(policy);
    Secret::new(format!(
        "SharedAccessSignature sr={resource}&sig={signature}&se={until}&skn={policy}"
    ))
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature was made with `openssl dgst -sha256 -hmac c2VjcmV0 -binary | base64`.
    #[test]
    fn a_signature_is_the_one_that_other_tools_make() {
        let key = Secret::new("c2VjcmV0");
        let made = signature("sb://c.example/defender", "listen", &key, 1_700_000_000);
        assert_eq!(
            made.expose(),
            "SharedAccessSignature sr=sb%3A%2F%2Fc.example%2Fdefender&sig=%2Fk2cnMGg9JKSDM6cTOQfmT%2BUZp3ZROrFWFVIykt%2BHYM%3D&se=1700000000&skn=listen"
        );
    }
}
