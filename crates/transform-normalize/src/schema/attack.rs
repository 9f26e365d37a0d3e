//! MITRE ATT&CK: techniques as Defender writes them, and the tactics that its categories name.
//!
//! Source: attack.mitre.org, enterprise tactics TA0001 to TA0043.

/// Tactics by the names of Defender's categories.
const TACTICS: [(&str, &str); 14] = [
    ("Reconnaissance", "TA0043"),
    ("ResourceDevelopment", "TA0042"),
    ("InitialAccess", "TA0001"),
    ("Execution", "TA0002"),
    ("Persistence", "TA0003"),
    ("PrivilegeEscalation", "TA0004"),
    ("DefenseEvasion", "TA0005"),
    ("CredentialAccess", "TA0006"),
    ("Discovery", "TA0007"),
    ("LateralMovement", "TA0008"),
    ("Collection", "TA0009"),
    ("CommandAndControl", "TA0011"),
    ("Exfiltration", "TA0010"),
    ("Impact", "TA0040"),
];

/// The tactic that a category names, as name and uid.
pub(super) fn tactic(category: &str) -> Option<(&'static str, &'static str)> {
    let same = |(name, _): &&(&str, &str)| {
        let letters = category.bytes().filter(|byte| *byte != b' ');
        letters
            .map(|byte| byte.to_ascii_lowercase())
            .eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
    };
    TACTICS.iter().find(same).copied()
}

/// The uid and, if it is there, the name of `Name (T1234.001)` or `T1234.001`.
pub(super) fn technique(text: &str) -> Option<(&str, Option<&str>)> {
    let text = text.trim();
    if is_uid(text) {
        return Some((text, None));
    }
    let (name, uid) = text.strip_suffix(')')?.rsplit_once('(')?;
    let name = name.trim();
    is_uid(uid.trim()).then_some((uid.trim(), (!name.is_empty()).then_some(name)))
}

/// `T1234` or `T1234.001`.
fn is_uid(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(['T', 't']) else {
        return false;
    };
    let all_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits.split_once('.') {
        Some((technique, sub)) => technique.len() == 4 && all_digits(technique) && all_digits(sub),
        None => digits.len() == 4 && all_digits(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn techniques_are_read_in_both_forms() {
        assert_eq!(technique("T1564.001"), Some(("T1564.001", None)));
        assert_eq!(
            technique("Hidden Files (T1564)"),
            Some(("T1564", Some("Hidden Files")))
        );
        assert_eq!(
            technique("a (b) (T1564.002)"),
            Some(("T1564.002", Some("a (b)")))
        );
        assert_eq!(technique("T15"), None);
        assert_eq!(technique("Tätä"), None);
        assert_eq!(technique("Hidden Files"), None);
    }

    #[test]
    fn categories_that_are_tactics_are_known() {
        assert_eq!(
            tactic("lateralmovement"),
            Some(("LateralMovement", "TA0008"))
        );
        assert_eq!(
            tactic("Command and Control"),
            Some(("CommandAndControl", "TA0011"))
        );
        assert_eq!(tactic("Malware"), None);
    }
}
