"""Records as `tapline normalize` takes them: the real samples, and which kind each one is."""

import json

FOLDERS = ("graph-alerts-v2", "graph-incidents", "siem-api")
# These were scrambled by their publisher: they show robustness, not mapping.
SCRAMBLED = "sumo-"


def samples(shared):
    """Yields (file name, record) of every real sample, pages and foreign wrappers opened."""
    for folder in FOLDERS:
        for path in sorted((shared / "samples" / folder).iterdir()):
            for document in documents(path.read_text(encoding="utf-8")):
                for record in unwrapped(document):
                    yield path.name, record


def hunting_samples(shared):
    """Yields (file name, record) of every real record of the stream."""
    folder = shared / "samples" / "streaming"
    for path in sorted(folder.rglob("*.ndjson")) + sorted(folder.glob("sekoia-tests/*.json")):
        for document in documents(path.read_text(encoding="utf-8")):
            # Test files of a peer hold the record as text, beside what they make of it.
            text = document.get("input", {}).get("message")
            yield path.name, json.loads(text) if text else document


def documents(text):
    """Yields the JSON documents of a file, which are one or one per line."""
    try:
        yield json.loads(text)
    except json.JSONDecodeError:
        for line in text.split("\n"):
            if line.strip():
                yield json.loads(line)


def unwrapped(document):
    if isinstance(document, list):
        return document
    if isinstance(document.get("value"), list):
        return document["value"]
    return [document.get("ms-graph", document)]


def kind(record):
    """The kind by the rules of the program's contract, in their order."""
    type_name = str(record.get("@odata.type") or "").lower()
    if str(record.get("category") or "").startswith("AdvancedHunting-"):
        return "hunting." + record["category"].removeprefix("AdvancedHunting-")
    if "AlertTitle" in record and "AlertId" in record:
        return "siem.detection"
    if "alertCreationTime" in record:
        return "endpoint.alert"
    if ("displayName" in record and "incidentWebUrl" in record) or type_name.endswith("incident"):
        return "graph.incident"
    alert_members = ("evidence", "serviceSource", "alertWebUrl")
    if "id" in record and any(name in record for name in alert_members) or type_name.endswith("alert"):
        return "graph.alert"
    return "hunting.unknown"


def record_id(record):
    """What `metadata.original_event_uid` has to be."""
    if kind(record) == "siem.detection":
        return record.get("FullId") or record["AlertId"]
    return record["id"]


def is_empty(value):
    return value is None or value == "" or value == [] or value == {}


def leaves(value):
    """Yields every scalar of a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None and value != "":
        yield value
