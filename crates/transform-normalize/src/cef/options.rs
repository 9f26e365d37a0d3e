//! What an operator may choose about CEF.

use tapline_core::Problem;

use super::dialect::Dialect;
use super::dictionary;
use super::line::{PRODUCT_BYTES, VENDOR_BYTES, VERSION_BYTES};
use super::output_key::OutputKey;

/// What a CEF line has at most unless the operator says otherwise.
///
/// 8096 bytes, the smallest limit of a receiver met (rsyslog 8.2302, measured), less the longest
/// header that RFC 5424 allows us (391: PRI and version 7, time 33, host 256, application 49,
/// process id 8, message id 33, no structured data 2, byte order mark 3), rounded down.
pub(crate) const DEFAULT_MAX_BYTES: usize = 7700;

/// Below this not even header and identity of an ordinary alert fit.
const LEAST_MAX_BYTES: usize = 480;

/// Choices about CEF; `None` leaves what the mapping says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CefOptions {
    /// The format of the lines.
    pub(crate) dialect: Dialect,
    /// Whether events say `CEF:1` and may carry the keys of CEF 1.2.
    pub(crate) version_one: bool,
    /// Device Vendor.
    pub(crate) vendor: Option<String>,
    /// Device Product: what existing content of a SIEM filters on.
    pub(crate) product: Option<String>,
    /// Device Version.
    pub(crate) product_version: Option<String>,
    /// The key that carries the whole record.
    pub(crate) raw_as: Option<String>,
    /// What a line may have; longer ones lose whole keys.
    pub(crate) max_bytes: usize,
    /// Keys that are never sent, with their labels.
    pub(crate) drop: Vec<String>,
}

impl Default for CefOptions {
    fn default() -> Self {
        Self {
            dialect: Dialect::Cef,
            version_one: false,
            vendor: None,
            product: None,
            product_version: None,
            raw_as: None,
            max_bytes: DEFAULT_MAX_BYTES,
            drop: Vec::new(),
        }
    }
}

impl CefOptions {
    /// Checks what the types cannot say; all mistakes at once.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.max_bytes < LEAST_MAX_BYTES {
            let message = format!("must be at least {LEAST_MAX_BYTES}");
            problems.push(Problem::new("max_bytes", message));
        }
        let fields = [
            ("vendor", &self.vendor, VENDOR_BYTES),
            ("product", &self.product, PRODUCT_BYTES),
            ("product_version", &self.product_version, VERSION_BYTES),
        ];
        for (path, text, max) in fields {
            if text
                .as_ref()
                .is_some_and(|text| text.trim().is_empty() || text.len() > max)
            {
                problems.push(Problem::new(path, format!("must have 1 to {max} bytes")));
            }
        }
        if let Some(Err(why)) = self
            .raw_as
            .as_deref()
            .map(|name| OutputKey::raw(self.dialect, 0, name))
        {
            problems.push(Problem::new("raw_as", why));
        }
        problems
    }
}

/// Whether a name that an operator wants dropped is a key of CEF rather than a field of a record.
pub(crate) fn is_key(name: &str) -> bool {
    dictionary::row(name).is_some() || dictionary::is_own(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_choices_are_reported_all_at_once_by_their_names() {
        let options = CefOptions {
            vendor: Some(" ".into()),
            product: Some("x".repeat(64)),
            raw_as: Some("msg".into()),
            max_bytes: 10,
            ..CefOptions::default()
        };
        let paths: Vec<String> = options
            .problems()
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        assert_eq!(paths, ["max_bytes", "vendor", "product", "raw_as"]);
        assert_eq!(CefOptions::default().problems(), Vec::new());
    }

    #[test]
    fn keys_are_told_from_fields_of_records() {
        assert!(is_key("cs1") && is_key("MicrosoftDefenderTenantId"));
        assert!(!is_key("title") && !is_key("evidence"));
    }
}
