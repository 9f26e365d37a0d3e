//! The keys that CEF knows: what each may hold, and who may send it.
//!
//! Source: Micro Focus CEF standard, document version 27 (SmartConnectors 25.1), tables of
//! producer and consumer keys, seen September 2026. `c6a2` is missing from those tables but used
//! by their special mappings for IPv6. `Label` keys are not rows: a label is sent with its key.

/// What a key may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Holds {
    /// Text of at most this many bytes before escaping; the standard counts characters.
    Text(usize),
    /// A number of 32 bits.
    Integer,
    /// A number of 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An Ethernet address.
    Mac,
    /// Milliseconds since 1970.
    Time,
    /// A time as text, such as `May 01 2026 09:53:10.765 GMT` (LEEF).
    Date,
    /// An address of either family (LEEF).
    Ip,
    /// The number of a port (LEEF).
    Port,
    /// A severity, 1 to 10 (LEEF).
    Level,
}

impl Holds {
    /// What it is, for the author of a mapping.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Holds::Text(_) => "text",
            Holds::Integer => "a 32-bit number",
            Holds::Long => "a 64-bit number",
            Holds::Double => "a number with a fraction",
            Holds::Ipv4 => "an IPv4 address",
            Holds::Ipv6 => "an IPv6 address",
            Holds::Mac => "an Ethernet address",
            Holds::Time => "a time, sent as milliseconds since 1970",
            Holds::Date => "a time, sent as text",
            Holds::Ip => "an IP address",
            Holds::Port => "a number from 0 to 65535",
            Holds::Level => "a number from 1 to 10",
        }
    }
}

/// One key of the dictionary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Key {
    /// As it stands in an event.
    pub(crate) name: &'static str,
    /// What the standard calls it.
    pub(crate) full_name: &'static str,
    /// What it may hold.
    pub(crate) holds: Holds,
}

impl Key {
    /// Whether the standard wants a `Label` beside it, because the key says nothing by itself.
    pub(crate) fn needs_label(&self) -> bool {
        const FAMILIES: [&str; 7] = [
            "cs",
            "cn",
            "cfp",
            "c6a",
            "deviceCustomDate",
            "flexDate",
            "flexString",
        ];
        let family = self.name.trim_end_matches(|c: char| c.is_ascii_digit());
        family.len() < self.name.len() && FAMILIES.contains(&family)
    }

    /// Bytes that its `Label` may have.
    pub(crate) fn label_bytes(&self) -> usize {
        if self.name.starts_with("flex") {
            128
        } else {
            1023
        }
    }
}

/// Why a name cannot be a key of our events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoKey {
    /// Only ArcSight itself sets it.
    Consumer,
    /// It belongs to CEF 1.2: only with `cef_version: 1`.
    NeedsVersionOne,
    /// The dictionary lacks it, and it is no word of our own.
    Unknown,
}

/// Our own keys begin with this, by the standard's pattern vendor, product, name.
pub(crate) const OWN_PREFIX: &str = "MicrosoftDefender";

/// Finds the key of this name, also one of our own making: those hold text of any length.
///
/// # Errors
/// [`NoKey`] if a producer of this CEF version may not send it.
pub(crate) fn find(name: &str, version_one: bool) -> Result<Holds, NoKey> {
    let by_name = |key: &&Key| key.name == name;
    if let Some(key) = PRODUCER.iter().find(by_name) {
        return Ok(key.holds);
    }
    if let Some(key) = VERSION_ONE.iter().find(by_name) {
        return if version_one {
            Ok(key.holds)
        } else {
            Err(NoKey::NeedsVersionOne)
        };
    }
    if CONSUMER.contains(&name) {
        return Err(NoKey::Consumer);
    }
    if is_own(name) {
        Ok(Holds::Text(usize::MAX))
    } else {
        Err(NoKey::Unknown)
    }
}

/// The row of this name, whatever the CEF version.
pub(crate) fn row(name: &str) -> Option<&'static Key> {
    PRODUCER
        .iter()
        .chain(VERSION_ONE)
        .find(|key| key.name == name)
}

/// Whether a name is one word of our own, which no dictionary will ever hold.
pub(crate) fn is_own(name: &str) -> bool {
    name.len() > OWN_PREFIX.len()
        && name.starts_with(OWN_PREFIX)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Every name that a producer may use, for the nearest known word in an error.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    PRODUCER.iter().chain(VERSION_ONE).map(|key| key.name)
}

const fn text(name: &'static str, full_name: &'static str, bytes: usize) -> Key {
    Key {
        name,
        full_name,
        holds: Holds::Text(bytes),
    }
}

const fn integer(name: &'static str, full_name: &'static str) -> Key {
    Key {
        name,
        full_name,
        holds: Holds::Integer,
    }
}

const fn long(name: &'static str, full_name: &'static str) -> Key {
    Key {
        name,
        full_name,
        holds: Holds::Long,
    }
}

const fn double(name: &'static str, full_name: &'static str) -> Key {
    Key {
        name,
        full_name,
        holds: Holds::Double,
    }
}

const fn ipv4(name: &'static str, full_name: &'static str) -> Key {
    Key {
        name,
        full_name,
        holds: Holds::Ipv4,
    }
}

const fn ipv6(name: &'static str, full_name: &'static str) -> Key {
    Key {
        name,
        full_name,
        holds: Holds::Ipv6,
    }
}

const fn mac(name: &'static str, full_name: &'static str) -> Key {
    Key {
        name,
        full_name,
        holds: Holds::Mac,
    }
}

const fn time(name: &'static str, full_name: &'static str) -> Key {
    Key {
        name,
        full_name,
        holds: Holds::Time,
    }
}

/// Keys of every CEF version.
const PRODUCER: &[Key] = &[
    text("act", "deviceAction", 63),
    text("app", "applicationProtocol", 31),
    ipv6("c6a1", "deviceCustomIPv6Address1"),
    ipv6("c6a2", "deviceCustomIPv6Address2"),
    ipv6("c6a3", "deviceCustomIPv6Address3"),
    ipv6("c6a4", "deviceCustomIPv6Address4"),
    text("cat", "deviceEventCategory", 1023),
    double("cfp1", "deviceCustomFloatingPoint1"),
    double("cfp2", "deviceCustomFloatingPoint2"),
    double("cfp3", "deviceCustomFloatingPoint3"),
    double("cfp4", "deviceCustomFloatingPoint4"),
    long("cn1", "deviceCustomNumber1"),
    long("cn2", "deviceCustomNumber2"),
    long("cn3", "deviceCustomNumber3"),
    integer("cnt", "baseEventCount"),
    text("cs1", "deviceCustomString1", 4000),
    text("cs2", "deviceCustomString2", 4000),
    text("cs3", "deviceCustomString3", 4000),
    text("cs4", "deviceCustomString4", 4000),
    text("cs5", "deviceCustomString5", 4000),
    text("cs6", "deviceCustomString6", 4000),
    text("destinationDnsDomain", "destinationDnsDomain", 255),
    text("destinationServiceName", "destinationServiceName", 1023),
    ipv4(
        "destinationTranslatedAddress",
        "destinationTranslatedAddress",
    ),
    integer("destinationTranslatedPort", "destinationTranslatedPort"),
    time("deviceCustomDate1", "deviceCustomDate1"),
    time("deviceCustomDate2", "deviceCustomDate2"),
    integer("deviceDirection", "deviceDirection"),
    text("deviceDnsDomain", "deviceDnsDomain", 255),
    text("deviceExternalId", "deviceExternalId", 255),
    text("deviceFacility", "deviceFacility", 1023),
    text("deviceInboundInterface", "deviceInboundInterface", 128),
    text("deviceNtDomain", "deviceNtDomain", 255),
    text("deviceOutboundInterface", "deviceOutboundInterface", 128),
    text("devicePayloadId", "devicePayloadId", 128),
    text("deviceProcessName", "deviceProcessName", 1023),
    ipv4("deviceTranslatedAddress", "deviceTranslatedAddress"),
    text("dhost", "destinationHostName", 1023),
    mac("dmac", "destinationMacAddress"),
    text("dntdom", "destinationNtDomain", 255),
    integer("dpid", "destinationProcessId"),
    text("dpriv", "destinationUserPrivileges", 1023),
    text("dproc", "destinationProcessName", 1023),
    integer("dpt", "destinationPort"),
    ipv4("dst", "destinationAddress"),
    text("dtz", "deviceTimeZone", 255),
    text("duid", "destinationUserId", 1023),
    text("duser", "destinationUserName", 1023),
    ipv4("dvc", "deviceAddress"),
    text("dvchost", "deviceHostName", 100),
    integer("dvcpid", "deviceProcessId"),
    time("end", "endTime"),
    text("externalId", "externalId", 40),
    time("fileCreateTime", "fileCreateTime"),
    text("fileHash", "fileHash", 255),
    text("fileId", "fileId", 1023),
    time("fileModificationTime", "fileModificationTime"),
    text("filePath", "filePath", 1023),
    text("filePermission", "filePermission", 1023),
    text("fileType", "fileType", 1023),
    time("flexDate1", "flexDate1"),
    text("flexString1", "flexString1", 1023),
    text("flexString2", "flexString2", 1023),
    text("fname", "filename", 1023),
    integer("fsize", "fileSize"),
    integer("in", "bytesIn"),
    text("msg", "message", 1023),
    time("oldFileCreateTime", "oldFileCreateTime"),
    text("oldFileHash", "oldFileHash", 255),
    text("oldFileId", "oldFileId", 1023),
    time("oldFileModificationTime", "oldFileModificationTime"),
    text("oldFileName", "oldFileName", 1023),
    text("oldFilePath", "oldFilePath", 1023),
    text("oldFilePermission", "oldFilePermission", 1023),
    integer("oldFileSize", "oldFileSize"),
    text("oldFileType", "oldFileType", 1023),
    integer("out", "bytesOut"),
    text("outcome", "eventOutcome", 63),
    text("proto", "transportProtocol", 31),
    text("reason", "reason", 1023),
    text("request", "requestUrl", 1023),
    text("requestClientApplication", "requestClientApplication", 1023),
    text("requestContext", "requestContext", 2048),
    text("requestCookies", "requestCookies", 1023),
    text("requestMethod", "requestMethod", 1023),
    time("rt", "deviceReceiptTime"),
    text("shost", "sourceHostName", 1023),
    mac("smac", "sourceMacAddress"),
    text("sntdom", "sourceNtDomain", 255),
    text("sourceDnsDomain", "sourceDnsDomain", 255),
    text("sourceServiceName", "sourceServiceName", 1023),
    ipv4("sourceTranslatedAddress", "sourceTranslatedAddress"),
    integer("sourceTranslatedPort", "sourceTranslatedPort"),
    integer("spid", "sourceProcessId"),
    text("spriv", "sourceUserPrivileges", 1023),
    text("sproc", "sourceProcessName", 1023),
    integer("spt", "sourcePort"),
    ipv4("src", "sourceAddress"),
    time("start", "startTime"),
    text("suid", "sourceUserId", 1023),
    text("suser", "sourceUserName", 1023),
    integer("type", "type"),
];

/// Keys that came with CEF 1.2.
const VERSION_ONE: &[Key] = &[
    long("agentTranslatedZoneKey", "Agent Translated Zone Key"),
    long("agentZoneKey", "Agent Zone Key"),
    long("customerKey", "Customer Key"),
    long("deviceTranslatedZoneKey", "Device Translated Zone Key"),
    long("deviceZoneKey", "Device Zone Key"),
    long("dTranslatedZoneKey", "Destination Translated Zone Key"),
    long("dZoneKey", "Destination Zone Key"),
    text("frameworkName", "Framework Name", 256),
    long("reportedDuration", "Reported Duration"),
    text(
        "reportedResourceGroupName",
        "Reported Resource Group Name",
        128,
    ),
    text("reportedResourceID", "Reported Resource ID", 256),
    text("reportedResourceName", "Reported Resource Name", 64),
    text("reportedResourceType", "Reported Resource Type", 64),
    long("sTranslatedZoneKey", "Source Translated Zone Key"),
    long("sZoneKey", "Source Zone Key"),
    text("threatActor", "Threat actor", 40),
    text("threatAttackID", "Threat Attack ID", 32),
];

/// Keys that only ArcSight may set.
const CONSUMER: &[&str] = &[
    "agentDnsDomain",
    "agentNtDomain",
    "agentTranslatedAddress",
    "agentTranslatedZoneExternalID",
    "agentTranslatedZoneURI",
    "agentZoneExternalID",
    "agentZoneURI",
    "agt",
    "ahost",
    "aid",
    "amac",
    "art",
    "at",
    "atz",
    "av",
    "customerExternalID",
    "customerURI",
    "destinationTranslatedZoneExternalID",
    "destinationTranslatedZoneURI",
    "destinationZoneExternalID",
    "destinationZoneURI",
    "deviceTranslatedZoneExternalID",
    "deviceTranslatedZoneURI",
    "deviceZoneExternalID",
    "deviceZoneURI",
    "dlat",
    "dlong",
    "eventId",
    "rawEvent",
    "slat",
    "slong",
    "sourceTranslatedZoneExternalID",
    "sourceTranslatedZoneURI",
    "sourceZoneExternalID",
    "sourceZoneURI",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_what_a_producer_of_the_version_may_send() {
        let check =
            |name, version_one, expected| assert_eq!(find(name, version_one), expected, "{name}");
        check("msg", false, Ok(Holds::Text(1023)));
        check("externalId", false, Ok(Holds::Text(40)));
        check("fsize", false, Ok(Holds::Integer));
        check("c6a2", false, Ok(Holds::Ipv6));
        check("threatAttackID", false, Err(NoKey::NeedsVersionOne));
        check("threatAttackID", true, Ok(Holds::Text(32)));
        check("rawEvent", true, Err(NoKey::Consumer));
        check("eventId", false, Err(NoKey::Consumer));
        check("dvcmac", false, Err(NoKey::Unknown));
        check(
            "MicrosoftDefenderTenantId",
            false,
            Ok(Holds::Text(usize::MAX)),
        );
        check("MicrosoftDefender", false, Err(NoKey::Unknown));
        check("MicrosoftDefender Id", false, Err(NoKey::Unknown));
    }

    #[test]
    fn keys_that_say_nothing_by_themselves_need_a_label() {
        let check =
            |name, expected| assert_eq!(row(name).unwrap().needs_label(), expected, "{name}");
        check("cs6", true);
        check("cn1", true);
        check("c6a4", true);
        check("flexString2", true);
        check("deviceCustomDate1", true);
        check("cat", false);
        check("cnt", false);
        check("frameworkName", false);
    }

    #[test]
    fn no_name_stands_in_two_tables() {
        let mut all: Vec<&str> = names().chain(CONSUMER.iter().copied()).collect();
        let before = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), before);
    }
}
