"""What the ECS output has to hold: fields that ECS has, of the right types, and the words it allows."""

import ipaddress
import json
import pathlib
import re

import hunting_checks
from ocsf_checks import lost_values
from program import Failed

FIELDS = pathlib.Path(__file__).resolve().parents[2] / "crates/transform-normalize/schema/ecs-8.11.txt"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
# What ECS has no place for; no rule holds inside of it.
VENDOR = "microsoft"
KINDS = {"graph.alert": "alert", "graph.incident": "alert", "siem.detection": "alert"}


def fields():
    """Name -> (type, whether a list, words allowed)."""
    known = {"ecs.version": ("keyword", False, {"8.11.0"})}
    for line in FIELDS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, type_name, *words = line.split(" ")
            known[name] = (type_name.removesuffix("[]"), type_name.endswith("[]"), set(words))
    return known


def check_event(number, event, known, kind):
    for required in ("@timestamp", "ecs", "event"):
        if required not in event:
            raise Failed(f"event {number} has no {required}: {json.dumps(event)[:300]}")
    expected = KINDS.get(kind, "alert" if kind in ("hunting.AlertInfo", "hunting.AlertEvidence") else "event")
    if event["event"]["kind"] != expected:
        raise Failed(f"event {number} of {kind}: event.kind is {event['event']['kind']}, expected {expected}")
    for name, value in flat(event, ""):
        check_field(number, name, value, known)


def flat(value, path):
    """Yields (dotted name, value) of everything but what ECS has no place for."""
    for name, inner in value.items():
        if not path and name == VENDOR:
            continue
        if isinstance(inner, dict):
            yield from flat(inner, f"{path}{name}.")
        else:
            yield path + name, inner


def check_field(number, name, value, known):
    if name not in known:
        raise Failed(f"event {number}: ECS has no field {name}")
    type_name, is_list, words = known[name]
    if isinstance(value, list) != is_list:
        raise Failed(f"event {number}: {name} is {value!r}")
    for one in value if is_list else [value]:
        if not fits(one, type_name) or (words and one not in words):
            raise Failed(f"event {number}: {name} holds {one!r}, which is no {type_name} that ECS allows there")


def fits(value, type_name):
    match type_name:
        case "date":
            return isinstance(value, str) and DATE.fullmatch(value) is not None
        case "long":
            return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        case "float":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "ip":
            return isinstance(value, str) and is_address(value)
        case _:
            return isinstance(value, str)


def is_address(text):
    try:
        ipaddress.ip_address(text.partition("%")[0])
        return True
    except ValueError:
        return False


def lost(record, source, line):
    """Values of a record that its event shows in no form."""
    if "properties" in record:
        values = hunting_checks.lost_values(record, line.decode())
    else:
        values = lost_values(source, line)
    return [value for value in values if not is_date_in(str(value), line)]


def is_date_in(text, line):
    """Some tables write times without `T` and zone."""
    return f'"{text[:10]}T{text[11:].rstrip("Zz")}Z"'.encode() in line
