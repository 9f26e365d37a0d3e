//! The keys that QRadar knows, and those of our own.

use crate::cef::Holds;

/// Why a name cannot be a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// QRadar keeps it for itself, or it is written by itself.
    Reserved,
    /// It is not a word of letters and digits that begins with a lower-case letter.
    NoWord,
    /// It differs from a predefined key in nothing but the case of letters.
    Misspelt(&'static str),
}

const TEXT: Holds = Holds::Text(usize::MAX);

/// Predefined keys.
const KEYS: &[(&str, Holds)] = &[
    ("accountName", TEXT),
    ("cat", TEXT),
    ("devTime", Holds::Date),
    ("domain", TEXT),
    ("dst", Holds::Ip),
    ("dstBytes", Holds::Long),
    ("dstMAC", Holds::Mac),
    ("dstPackets", Holds::Long),
    ("dstPort", Holds::Port),
    ("dstPostNAT", Holds::Ip),
    ("dstPostNATPort", Holds::Port),
    ("dstPreNAT", Holds::Ip),
    ("dstPreNATPort", Holds::Port),
    ("groupID", TEXT),
    ("identGrpName", TEXT),
    ("identHostName", TEXT),
    ("identNetBios", TEXT),
    ("identSrc", Holds::Ip),
    ("policy", TEXT),
    ("proto", TEXT),
    ("realm", TEXT),
    ("resource", TEXT),
    ("role", TEXT),
    ("sev", Holds::Level),
    ("src", Holds::Ip),
    ("srcBytes", Holds::Long),
    ("srcMAC", Holds::Mac),
    ("srcPackets", Holds::Long),
    ("srcPort", Holds::Port),
    ("srcPostNAT", Holds::Ip),
    ("srcPostNATPort", Holds::Port),
    ("srcPreNAT", Holds::Ip),
    ("srcPreNATPort", Holds::Port),
    ("totalPackets", Holds::Long),
    ("url", TEXT),
    ("usrName", TEXT),
    ("vSrc", Holds::Ip),
    ("vSrcName", TEXT),
];

/// Keys that QRadar keeps for itself, `devTimeFormat`, which goes with `devTime`, and our mark.
const RESERVED: [&str; 8] = [
    "calCountryOrRegion",
    "calLanguage",
    "devTimeFormat",
    "identMAC",
    "identSecondlp",
    "isLoginEvent",
    "isLogoutEvent",
    "truncated",
];

/// What a key holds: a predefined one by its type, one of our own any text.
///
/// # Errors
/// [`Refused`] if an event may not carry it.
pub(crate) fn find(name: &str) -> Result<Holds, Refused> {
    if RESERVED.contains(&name) {
        return Err(Refused::Reserved);
    }
    let same = |(known, _): &&(&'static str, Holds)| known.eq_ignore_ascii_case(name);
    match KEYS.iter().find(same) {
        Some((known, holds)) if *known == name => Ok(*holds),
        Some((known, _)) => Err(Refused::Misspelt(known)),
        None if is_word(name) => Ok(TEXT),
        None => Err(Refused::NoWord),
    }
}

fn is_word(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_predefined_or_words_of_our_own() {
        let check = |name, expected| assert_eq!(find(name), expected, "{name}");
        check("src", Ok(Holds::Ip));
        check("srcPort", Ok(Holds::Port));
        check("sev", Ok(Holds::Level));
        check("alertId", Ok(TEXT));
        check("usrname", Err(Refused::Misspelt("usrName")));
        check("devTimeFormat", Err(Refused::Reserved));
        check("isLoginEvent", Err(Refused::Reserved));
        check("alert id", Err(Refused::NoWord));
        check("AlertId", Err(Refused::NoWord));
        check("", Err(Refused::NoWord));
    }
}
