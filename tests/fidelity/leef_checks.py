"""What the LEEF output has to hold: the header, keys once each, and right types."""

import ipaddress
import re
from datetime import datetime

from program import Failed

# The tightest receiver known cuts at 8096 bytes, syslog header included.
MAX_BYTES = 8096
KEY = re.compile(r"[a-z][A-Za-z0-9]*")


def check_line(number, line):
    """One line of LEEF against IBM's description of the format; returns its keys."""
    if len(line) > MAX_BYTES or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line):
        raise Failed(f"LEEF line {number} has {len(line)} bytes or a control character")
    parts = line.decode("utf-8").split("|", 6)
    if parts[:4] != ["LEEF:2.0", "Microsoft", "Defender XDR", "1.0"] or not parts[4] or parts[5] != "x09":
        raise Failed(f"LEEF line {number}: header {parts[:6]}")
    keys = {}
    for pair in parts[6].split("\t"):
        name, separator, value = pair.partition("=")
        if not separator or not KEY.fullmatch(name) or name in keys or not value.strip():
            raise Failed(f"LEEF line {number}: {pair[:100]!r} is no key, or stands twice")
        keys[name] = value
    check_types(number, keys)
    return keys


def check_types(number, keys):
    try:
        for name in {"src", "dst", "identSrc"} & keys.keys():
            ipaddress.ip_address(keys[name])
        for name in {"srcPort", "dstPort"} & keys.keys():
            assert 0 <= int(keys[name]) <= 65535, name
        if "devTime" in keys:
            assert keys["devTimeFormat"] == "MMM dd yyyy HH:mm:ss.SSS z", "devTimeFormat"
            datetime.strptime(keys["devTime"], "%b %d %Y %H:%M:%S.%f GMT")
        assert 1 <= int(keys["sev"]) <= 10, "sev"
    except (AssertionError, ValueError, KeyError) as wrong:
        raise Failed(f"LEEF line {number}: {wrong} in {keys}") from wrong
