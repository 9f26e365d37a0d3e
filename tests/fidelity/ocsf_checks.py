"""What the OCSF output has to hold, beyond being valid."""

import datetime
import ipaddress
import json
import re

from program import Failed
from records import is_empty, kind, leaves, record_id

CLASS = {"graph.alert": 2004, "graph.incident": 2005, "siem.detection": 2004}
BASE_EVENT = 0

# Fields that have a place, so that they must not be unmapped.
# Left out are those that it splits between a place and `unmapped` (comments, alerts), and those
# whose place depends on others (category, resolvedDateTime, summary).
PLACED = {
    "graph.alert": """id providerAlertId incidentId status severity classification determination serviceSource
        productName detectionSource detectorId alertPolicyId tenantId systemTags title description
        recommendedActions categories mitreTechniques assignedTo alertWebUrl actorDisplayName threatFamilyName
        threatDisplayName createdDateTime lastUpdateDateTime firstActivityDateTime lastActivityDateTime
        investigationState evidence""".split(),
    "graph.incident": """id displayName description status severity classification assignedTo priorityScore
        createdDateTime lastUpdateDateTime incidentWebUrl tenantId customTags systemTags resolvingComment
        redirectIncidentId""".split(),
    "siem.detection": """FullId AlertId AlertTime LastProcessedTimeUtc AlertTitle Description Category Source
        Severity IoaDefinitionId DeviceID ComputerDnsName MachineName MachineDomain MachineGroup InternalIPv4List
        InternalIPv6List FileName FilePath Md5 Sha1 Sha256 UserName UserDomain IpAddress Url ThreatName
        ThreatFamily Actor RemediationAction LinkToMTP DeviceCreatedMachineTags CloudCreatedMachineTags""".split(),
}
# Words of the source whose captions in OCSF are others (the reference, 0.2, 1, and 2).
CAPTIONS = {
    "active": "New",
    "awaitingaction": "On Hold",
    "redirected": "Closed",
    "malicious": "True Positive",
    "nothreatsfound": "Benign",
    "informationalexpectedactivity": "Benign",
    "notenoughdatatovalidate": "Insufficient Data",
    "securitytesting": "Test",
    "informational": "Info",
    "unknownfuturevalue": "Unknown",
}
# The service says so when the client is too old for the real value; nothing is lost by not placing it.
SENTINEL = "unknownFutureValue"


def check_order_and_class(records, events):
    """One event per record, in order, of the class that the reference names."""
    for number, (record, event) in enumerate(zip(records, events), 1):
        expected = CLASS.get(kind(record), BASE_EVENT)
        if event["class_uid"] != expected:
            raise Failed(f"event {number}: class {event['class_uid']}, expected {expected}")
        uid = event["metadata"].get("original_event_uid")
        if expected != BASE_EVENT and uid != record_id(record):
            raise Failed(f"event {number}: original_event_uid is {uid!r}, the record's id is {record_id(record)!r}")


def misplaced(record, event):
    """Fields that have a place in the reference and are in `unmapped` all the same."""
    unmapped = event.get("unmapped", {})
    placed = PLACED.get(kind(record), [])
    return [name for name in placed if name in unmapped and record.get(name) != SENTINEL]


def coverage(records, events):
    """(fields in typed places, all non-empty top-level fields, names of the others with counts)."""
    typed, total, others = 0, 0, {}
    for record, event in zip(records, events):
        unmapped = event.get("unmapped", {})
        for name, value in record.items():
            if is_empty(value):
                continue
            total += 1
            if name in unmapped:
                others[name] = others.get(name, 0) + 1
            else:
                typed += 1
    return typed, total, others


def lost_values(record, event):
    """Scalars of the record that the event shows in no form; both as JSON text."""
    # Numbers as they stand: 1e400 is no float of any language, and 9007199254740993 not of most.
    record, event = (json.loads(text, parse_float=str) for text in (record, event))
    shown = {str(leaf) for leaf in leaves(event)}
    text = squeezed("\n".join(shown))
    return [leaf for leaf in leaves(record) if not is_shown(leaf, shown, text)]


def is_shown(leaf, shown, text):
    plain = str(leaf).removeprefix("#microsoft.graph.security.")
    if isinstance(leaf, bool) or plain in shown:
        return True
    caption = CAPTIONS.get(plain.lower(), plain)
    return squeezed(caption) in text or milliseconds(plain) in shown or plain_address(plain) in shown


def plain_address(text):
    """IPv4 written as IPv6 is told as IPv4."""
    try:
        return str(ipaddress.IPv6Address(text).ipv4_mapped)
    except ValueError:
        return None


def squeezed(text):
    """Captions differ from the words of the source in case and blanks: `True Positive`."""
    return re.sub(r"\s+", "", text).lower()


def milliseconds(text):
    try:
        time = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))
        return str(int(time.timestamp() * 1000))
    except (ValueError, OverflowError):
        return None
