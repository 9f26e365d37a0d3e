#!/usr/bin/env python3
"""Makes Graph alerts and incidents, good and bad ones, out of Microsoft's own type list.

Writes NDJSON to standard output: every evidence type, nulls, missing members, wrong types, enum
values and evidence kinds nobody knows, numbers beyond 64 bits, and text made to break formats.
The same seed gives the same bytes.
"""

import argparse
import json
import pathlib
import random
import sys

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared"
TYPES = SHARED / "reference" / "graph-security-types.json"
PREFIX = "microsoft.graph.security."
EVIDENCE_BASE = "alertEvidence"
# Nested evidence (a pod in a namespace in a cluster ...) ends here.
MAX_DEPTH = 3
# Every so many records, one has no mistake in it.
GOOD_EVERY = 3
# A number that no 64-bit float holds; JSON allows it, so an alert may carry it.
BEYOND_FLOAT = "@beyond-float@"

ODD_TEXTS = [
    "line one\nline two\r\nline three",
    "pipes | and \\| escaped ones \\",
    "severity=10 cs1=forged externalId=da0",
    "CEF:0|Evil|Product|1|1|forged|10|act=allowed",
    "<34>1 2026-01-02T03:04:05Z host app - - - second message",
    "tab\there, bell \u0007, escape \u001b[31m, delete \u007f, nul \u0000",
    "  blanks at both ends  ",
    "é ü ☃ 漢字 \U0001f980 \u202e reversed",
    '"quotes" and {"json": [1, 2]}',
    "C:\\Users\\Über\\new\\table.exe",
    "0",
    "-",
    "null",
    "=",
    "\\",
]
LONG_TEXTS = ["x" * 5000, "\u2603" * 1500]
HUGE_NUMBERS = [2**31, 2**53 + 1, -(2**53) - 1, 2**63, 2**64, 10**40, -(10**30), 1.5, -0.25, 1e300]
WRONG_TYPES = [True, 0, -1, 3.25, "text where none belongs", [], {}, ["a", 1, None], {"a": {"b": [1]}}]
TIMES = [
    "2026-01-02T03:04:05Z",
    "2026-01-02T03:04:05.1Z",
    "2026-01-02T03:04:05.1234567Z",
    "2026-01-02T03:04:05.6666667Z",
    "2025-12-31T23:59:59.9999999Z",
]
BAD_TIMES = ["", "yesterday", "2026-13-45T99:00:00Z", "2024-03-05T05:30:00.0530577+0530577Z", "0001-01-01T00:00:00Z"]
# What the plain members hold, where any text would be less than real.
KNOWN_TEXTS = {
    "ipAddress": ["192.0.2.10", "2001:db8::7", "::ffff:198.51.100.9"],
    "lastIpAddress": ["192.0.2.11", "fe80::1"],
    "lastExternalIpAddress": ["198.51.100.7"],
    "ipInterfaces": ["192.0.2.10", "2001:db8::7", "127.0.0.1"],
    "senderIp": ["203.0.113.5", "2001:db8::25"],
    "senderIP": ["203.0.113.5"],
    "sha1": ["0123456789abcdef0123456789abcdef01234567"],
    "sha256": ["AB" * 32],
    "md5": ["0123456789abcdef0123456789abcdef"],
    "filePath": ["C:\\Windows\\System32", "/usr/bin"],
    "fileName": ["powershell.exe", "run.sh"],
    "processCommandLine": ["powershell -enc AAAA=", "sh -c 'a | b'"],
    "category": ["Malware", "InitialAccess", "Execution", "SuspiciousActivity"],
    "mitreTechniques": ["T1059", "T1059.001", "T1566.002"],
    "macAddress": ["00:11:22:33:44:55"],
    "url": ["https://example.invalid/a?b=c&d=e"],
    "incidentId": ["42", "2972395"],
    "recipientEmailAddress": ["ada@example.invalid"],
    "emailAddress": ["eve@example.invalid"],
    "tenantId": ["00000000-0000-0000-0000-0000000000aa"],
}


class Generator:
    """Draws values of the types that Microsoft publishes."""

    def __init__(self, types, seed):
        self.random = random.Random(seed)
        self.types = types
        self.kinds = sorted(name for name in types["evidence"] if name != EVIDENCE_BASE)
        self.mutation_rate = 0.0

    def event(self, number):
        """One alert or incident; some are as the documentation says, most are not."""
        self.mutation_rate = 0.0 if number % GOOD_EVERY == 0 else self.random.choice([0.02, 0.1, 0.3])
        event = self.incident(number) if number % 4 == 3 else self.alert(number)
        if self.mutation_rate and self.random.random() < 0.1:
            event[self.random.choice(["futureMember", "x.y", "a b", "ünïcode", "Severity "])] = self.wrong()
        return event

    def alert(self, number):
        alert = self.members("entities", "alert", 0)
        alert["id"] = f"da{number:08d}-0000-0000-0000-{self.random.randrange(10**12):012d}_1"
        alert["evidence"] = self.evidence_of(number)
        if not self.mutation_rate:
            alert["categories"] = [alert["category"]] if alert["category"] else []
            alert["mitreTechniques"] = self.random.sample(KNOWN_TEXTS["mitreTechniques"], 2)
        # Recognizing a record is not what is tested here: one of these always stands.
        alert.setdefault("serviceSource", None)
        alert.pop("displayName", None)
        return alert

    def incident(self, number):
        incident = self.members("entities", "incident", 0)
        incident["id"] = str(10_000_000 + number)
        incident["displayName"] = self.text("displayName")
        incident["incidentWebUrl"] = f"https://security.example.invalid/incident2/{number}/overview"
        incident.pop("alerts", None)
        if self.random.random() < 0.4:
            incident["alerts"] = [self.alert(number * 10 + index) for index in range(self.random.randrange(3))]
        return incident

    def evidence_of(self, number):
        """A few pieces of evidence; the record's number picks the first, so that all kinds come."""
        kinds = [self.kinds[number % len(self.kinds)]]
        kinds += self.random.choices(self.kinds, k=self.random.randrange(3))
        evidence = [self.evidence(kind, 1) for kind in kinds]
        if self.mutation_rate and self.random.random() < self.mutation_rate:
            evidence.insert(self.random.randrange(len(evidence) + 1), self.unknown_evidence())
        if self.mutation_rate and self.random.random() < self.mutation_rate / 3:
            evidence.append(self.wrong())
        return evidence

    def evidence(self, kind, depth):
        members = self.members("evidence", EVIDENCE_BASE, depth)
        members.update(self.members("evidence", kind, depth))
        return {"@odata.type": f"#{PREFIX}{kind}", **members}

    def unknown_evidence(self):
        piece = {"verdict": "malicious", "futureMember": self.text("x"), "nested": {"deep": [1, {"a": None}]}}
        odd = self.random.choice([f"#{PREFIX}quantumEvidence", "#example.ns.type", "", None, 7])
        return piece if odd == "" else {"@odata.type": odd, **piece}

    def members(self, section, name, depth):
        members = {}
        for member in self.types[section][name]["properties"]:
            value = self.member(member, depth)
            if value is not ...:
                members[member["name"]] = value
        return members

    def member(self, member, depth):
        if self.mutation_rate and self.random.random() < self.mutation_rate:
            return self.mutated(member)
        if member["nullable"] and not member["collection"] and self.random.random() < 0.15:
            return None
        if member["collection"]:
            return [self.value(member, depth) for _ in range(self.random.randrange(3))]
        return self.value(member, depth)

    def value(self, member, depth):
        type_name, name = member["type"], member["name"]
        simple = {
            "Edm.String": lambda: self.text(name),
            "Edm.Int32": lambda: self.random.randrange(0, 100),
            "Edm.Int64": lambda: self.random.choice([0, 7, 4780, 2**31 + 5, 2**53 + 1]),
            "Edm.Double": lambda: self.random.choice([0.0, 52.5, -13.25]),
            "Edm.Boolean": lambda: self.random.random() < 0.5,
            "Edm.Guid": lambda: f"{self.random.randrange(2**32):08x}-0000-4000-8000-000000000000",
            "Edm.DateTimeOffset": lambda: self.random.choice(TIMES),
        }
        if type_name in simple:
            return simple[type_name]()
        return self.named(type_name.removeprefix(PREFIX), depth)

    def named(self, type_name, depth):
        if type_name in self.types["enums"]:
            return self.enum(type_name)
        if depth >= MAX_DEPTH:
            return None
        if type_name == EVIDENCE_BASE:
            return self.evidence(self.random.choice(self.kinds), depth + 1)
        if type_name in self.types["evidence"]:
            return self.evidence(type_name, depth + 1)
        if type_name in self.types["entities"]:
            return None
        if self.types["complex"][type_name]["open"]:
            return {"key": self.text("key"), "count": 3, "nested": {"list": [1, "two", None]}}
        return self.members("complex", type_name, depth + 1)

    def enum(self, type_name):
        member = self.random.choice(self.types["enums"][type_name]["members"])
        if not self.mutation_rate:
            return member
        return self.random.choice([member, member, member[:1].upper() + member[1:], "nobodyKnowsThis"])

    def text(self, name):
        known = KNOWN_TEXTS.get(name)
        if known and (not self.mutation_rate or self.random.random() < 0.7):
            return self.random.choice(known)
        if name.endswith(("Url", "url", "Link")) and not self.mutation_rate:
            return "https://security.example.invalid/x?tid=1"
        chance = self.random.random()
        if chance < 0.002:
            return self.random.choice(LONG_TEXTS)
        return self.random.choice(ODD_TEXTS) if chance < 0.1 else f"{name} {self.random.randrange(1000)}"

    def mutated(self, member):
        choices = [None, ..., self.wrong(), self.random.choice(ODD_TEXTS), self.random.choice(HUGE_NUMBERS), "", BEYOND_FLOAT]
        if member["type"] == "Edm.DateTimeOffset":
            choices += BAD_TIMES
        return self.random.choice(choices)

    def wrong(self):
        return self.random.choice(WRONG_TYPES + HUGE_NUMBERS)


def lines(types, seed, count):
    """Yields the events as JSON text, one line each."""
    generator = Generator(types, seed)
    for number in range(count):
        event = generator.event(number)
        text = json.dumps(event, ensure_ascii=generator.random.random() < 0.5)
        yield text.replace(f'"{BEYOND_FLOAT}"', "1e400")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--types", type=pathlib.Path, default=TYPES)
    arguments = parser.parse_args()
    if not arguments.types.exists():
        print(f"skipped: {arguments.types} is not there", file=sys.stderr)
        return 0
    types = json.loads(arguments.types.read_text(encoding="utf-8"))
    for line in lines(types, arguments.seed, arguments.count):
        sys.stdout.buffer.write(line.encode("utf-8") + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
