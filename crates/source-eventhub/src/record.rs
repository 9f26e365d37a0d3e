//! What is read of one streamed record without parsing it as a whole.

use std::ops::Range;

use crate::scan::{ScanError, Scanner};

/// Where the members stand that identity and routing need; of repeated ones the last that says
/// something.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Record {
    /// The whole record.
    pub(crate) whole: Range<usize>,
    /// The row: from `{` to `}`.
    pub(crate) properties: Option<Range<usize>>,
    pub(crate) category: Option<Range<usize>>,
    pub(crate) tenant: Option<Range<usize>>,
    /// When the service exported the row.
    pub(crate) exported: Option<Range<usize>>,
    /// When it happened, by the row.
    pub(crate) happened: Option<Range<usize>>,
    pub(crate) severity: Option<Range<usize>>,
    pub(crate) device_id: Option<Range<usize>>,
    pub(crate) device_name: Option<Range<usize>>,
}

impl Record {
    /// Goes over the record that begins where the scanner stands.
    ///
    /// # Errors
    /// [`ScanError`] if it has no end.
    pub(crate) fn read(bytes: &[u8], scanner: &mut Scanner<'_>) -> Result<Self, ScanError> {
        scanner.peek();
        let start = scanner.position();
        let mut record = Self::default();
        scanner.object(|name, scanner| {
            let slot = match name {
                b"properties" if scanner.peek() == Some(b'{') => {
                    record.properties = Some(record.row(bytes, scanner)?);
                    return Ok(());
                }
                b"category" => &mut record.category,
                b"tenantId" => &mut record.tenant,
                b"time" => &mut record.exported,
                _ => return Ok(()),
            };
            note(slot, bytes, scanner)
        })?;
        record.whole = start..scanner.position();
        Ok(record)
    }

    fn row(&mut self, bytes: &[u8], scanner: &mut Scanner<'_>) -> Result<Range<usize>, ScanError> {
        let start = scanner.position();
        scanner.object(|name, scanner| {
            let slot = match name {
                b"Timestamp" => &mut self.happened,
                b"Severity" => &mut self.severity,
                b"DeviceId" => &mut self.device_id,
                b"DeviceName" => &mut self.device_name,
                _ => return Ok(()),
            };
            note(slot, bytes, scanner)
        })?;
        Ok(start..scanner.position())
    }
}

/// Notes what stands between the quotes of a text that is not empty.
fn note(
    slot: &mut Option<Range<usize>>,
    bytes: &[u8],
    scanner: &mut Scanner<'_>,
) -> Result<(), ScanError> {
    let value = scanner.value()?;
    if bytes[value.start] == b'"' && value.len() > 2 {
        *slot = Some(value.start + 1..value.end - 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_that_matter_are_found_wherever_they_stand() {
        let json = br#"{"properties":{"DeviceName":"pc","Severity":"High","x":{"Timestamp":"no"},"Timestamp":"t"},"category":"c","tenantId":null,"tenantId":"me","time":5}"#;
        let record = Record::read(json, &mut Scanner::new(json, 0)).expect("an object");
        let text = |range: &Option<Range<usize>>| {
            let range = range.clone()?;
            Some(std::str::from_utf8(&json[range]).expect("text"))
        };
        assert_eq!(record.whole, 0..json.len());
        assert_eq!(text(&record.category), Some("c"));
        assert_eq!(text(&record.tenant), Some("me"));
        assert_eq!(text(&record.happened), Some("t"));
        assert_eq!(text(&record.severity), Some("High"));
        assert_eq!(text(&record.device_name), Some("pc"));
        assert_eq!(
            (record.device_id.clone(), record.exported.clone()),
            (None, None)
        );
        assert!(
            text(&record.properties).is_some_and(|row| row.starts_with('{') && row.ends_with('}'))
        );
    }
}
