"""What the CEF output has to hold: keys of the standard, right types, and every attack string."""

import ipaddress
import re

from program import Failed

# The tightest receiver known cuts at 8096 bytes, syslog header included.
MAX_BYTES = 8096
HEADER_FIELDS = ("DeviceVendor", "DeviceProduct", "DeviceVersion", "SignatureID", "Name", "Severity")
HEADER_BYTES = {"DeviceVendor": 63, "DeviceProduct": 63, "DeviceVersion": 31, "SignatureID": 1023, "Name": 512}
NEEDS_LABEL = re.compile(r"(cs|cn|cfp|c6a|deviceCustomDate|flexDate|flexString)\d")
OWN_KEY = re.compile(r"MicrosoftDefender[A-Za-z0-9]+")

# Where a legacy detection's text has to come out: the historic ArcSight positions and our additions.
DETECTION_KEYS = {
    "Category": "cat",
    "Source": "sourceServiceName",
    "MachineName": "shost",
    "MachineDomain": "sourceDnsDomain",
    "UserDomain": "sntdom",
    "UserName": "suser",
    "LogOnUsers": "suid",
    "FileName": "fname",
    "FilePath": "filePath",
    "Sha1": "fileHash",
    "Sha256": "cs6",
    "Md5": "cs5",
    "ThreatName": "cs1",
    "ThreatFamily": "cs2",
    "CommandLine": "cs3",
    "Actor": "cs4",
    "Url": "request",
    "AlertId": "externalId",
    "LinkToWDATP": "flexString1",
    "LinkToMTP": "flexString2",
    "ComputerDnsName": "dvchost",
    "DeviceID": "deviceExternalId",
    "Description": "msg",
    "RemediationAction": "act",
}
ALERT_KEYS = {
    "category": "cat",
    "serviceSource": "deviceFacility",
    "detectionSource": "sourceServiceName",
    "description": "msg",
    "threatDisplayName": "cs1",
    "actorDisplayName": "cs4",
    "alertWebUrl": "flexString1",
    "incidentWebUrl": "flexString2",
}
# What the mappings write beside those, from fields that no attack stands in or whole where a key is short.
OTHER_KEYS = {"rt", "externalId", "deviceCustomDate1", "MicrosoftDefenderAlertId", "MicrosoftDefenderTenantId"}
ATTACKS = [
    "one\ntwo\r\nthree\rfour\n",
    "\nleading and trailing\t\n",
    "a|b\\|c\\\\|d",
    "x=1 y\\=2 = ==",
    "forged cs1=evil externalId=da0 rt=0 msg=gone",
    "end|9|act=allowed src=10.0.0.1",
    "CEF:0|Evil|P|1|1|forged|10|act=x",
    "<34>1 2026-01-02T03:04:05Z h a - - - CEF:0|E|P|1|1|n|1|",
    "bell\u0007 esc\u001b[31m nul\u0000 del\u007f tab\tunit\u001f",
    "trailing backslash \\",
    "\\n is no line end, \\r neither, \\",
    "é ü ☃ 漢字 \U0001f980 \u202e \u2028 \u0085 \ufeff",
    "9007199254740993 18446744073709551616",
    "  \t ",
    "=",
    "|",
    "\\",
    "key=",
    "a  b   c",
    "cs1Label=Forged cs1=x",
    "☃" * 700,
    "x" * 2000,
    "=" * 300,
]


def dictionary(shared):
    """Producer keys of the reference: name -> (type, length in bytes or None)."""
    text = (shared / "reference" / "cef.md").read_text(encoding="utf-8")
    table = text.split("**Producer keys**")[1].split("**New in CEF 1.2")[0]
    entry = re.compile(r"(\w+)(?:=\w+)? (String|Integer|Long|Double|IPv4|IPv6|MAC|TimeStamp)(?: (\d+))?")
    keys = {name: (kind, int(length) if length else None) for name, kind, length in entry.findall(table)}
    keys.setdefault("c6a2Label", ("String", 1023))
    return keys


def check_line(number, line, event, keys):
    """One line of CEF against the standard."""
    if len(line) > MAX_BYTES or re.search(rb"[\x00-\x1f\x7f]", line):
        raise Failed(f"CEF line {number} has {len(line)} bytes or a control character")
    for name, limit in HEADER_BYTES.items():
        if not 0 < len(event[name].encode()) <= limit:
            raise Failed(f"CEF line {number}: {name} has {len(event[name].encode())} bytes")
    if event["DeviceVendor"] != "Microsoft" or not 0 <= int(event["Severity"]) <= 10:
        raise Failed(f"CEF line {number}: header {[event[name] for name in HEADER_FIELDS]}")
    extension = event["Extensions"]
    for name, value in extension.items():
        if not holds(name, value, keys):
            raise Failed(f"CEF line {number}: {name}={value[:100]!r} is not what the standard allows")
        label = f"{name}Label"
        if NEEDS_LABEL.fullmatch(name) and not extension.get(label):
            raise Failed(f"CEF line {number}: {name} without {label}")
        if name.endswith("Label") and name.removesuffix("Label") not in extension:
            raise Failed(f"CEF line {number}: {name} without its key")


def holds(name, value, keys):
    if name not in keys:
        return OWN_KEY.fullmatch(name) is not None
    kind, limit = keys[name]
    tests = {
        "String": lambda: 0 < len(value.encode()) <= limit,
        "Integer": lambda: -(2**31) <= int(value) < 2**31,
        "Long": lambda: -(2**63) <= int(value) < 2**63,
        "TimeStamp": lambda: re.fullmatch(r"-?\d{1,14}", value) is not None,
        "IPv4": lambda: ipaddress.IPv4Address(value) is not None,
        "IPv6": lambda: ipaddress.IPv6Address(value) is not None,
        "MAC": lambda: re.fullmatch(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", value) is not None,
        "Double": lambda: float(value) == float(value),
    }
    try:
        return tests[kind]()
    except ValueError:
        return False


def attack_records():
    """Records with one attack in every text field at once, so that fields can run into each other."""
    records = []
    for number, attack in enumerate(ATTACKS):
        few = attack if len(attack) < 250 else "plain"
        detection = dict.fromkeys(DETECTION_KEYS, few) | {"AlertTitle": few, "IoaDefinitionId": few}
        long_name = list(DETECTION_KEYS)[number % len(DETECTION_KEYS)]
        detection |= {long_name: attack, "Description": attack, "Severity": "High", "FullId": f"a{number}"}
        detection |= {"AlertTime": "2026-01-02T03:04:05.1234567Z", "LastProcessedTimeUtc": "2026-01-02T03:05:00Z"}
        records.append(detection)
        alert = dict.fromkeys(ALERT_KEYS, few) | {"title": attack, "detectorId": few, "description": attack}
        alert |= {"id": f"da{number}_1", "severity": "low", "createdDateTime": "2026-01-02T03:04:05Z", "evidence": []}
        records.append(alert)
    return records


def check_attacks(records, events, keys):
    """The reader has to give back every field; returns how many fields were compared."""
    compared = 0
    for record, event in zip(records, events):
        legacy = "AlertTitle" in record
        wanted = DETECTION_KEYS if legacy else ALERT_KEYS
        title, detector = ("AlertTitle", "IoaDefinitionId") if legacy else ("title", "detectorId")
        for field, name in ((title, "Name"), (detector, "SignatureID")):
            # The header has no empty fields: without text the mapping puts something else there.
            wish = expected(record[field], HEADER_BYTES[name], True)
            compared += same(wish or event[name], event[name], name)
        for field, key in wanted.items():
            wish = expected(record[field], keys[key][1], False)
            compared += same(wish, event["Extensions"].get(key, ""), f"{field} in {key}")
        forged = {name.removesuffix("Label") for name in event["Extensions"]} - {*wanted.values(), *OTHER_KEYS}
        if forged:
            raise Failed(f"keys nobody wrote: {sorted(forged)}")
    return compared


def expected(text, limit, in_header):
    """What CEF leaves of a text: one space per control character, trimmed, cut to the limit."""
    controls = r"[\x00-\x1f\x7f]" if in_header else r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]"
    text = re.sub(controls, " ", text).strip()
    return text.encode()[:limit].decode("utf-8", "ignore").strip()


def same(wish, found, where):
    if found != wish:
        raise Failed(f"{where}: the CEF reader gives back {found[:200]!r}, expected {wish[:200]!r}")
    return 1
