"""Runs the program under test, and the checker of OCSF events."""

import json
import subprocess
import sys
import tempfile


class Failed(Exception):
    """What was promised does not hold; the text says what."""


def normalize(tapline, lines, target):
    """Output lines of `tapline normalize --to TARGET` over NDJSON lines; one per input line."""
    output = normalize_text(tapline, b"\n".join(lines) + b"\n", target)
    if len(output) != len(lines):
        raise Failed(f"{target}: {len(lines)} events in, {len(output)} lines out")
    return output


def normalize_text(tapline, text, target):
    """Output lines of `tapline normalize --to TARGET` over anything that it reads."""
    command = [str(tapline), "normalize", "--to", target]
    done = subprocess.run(command, input=text, capture_output=True)
    if done.returncode != 0 or done.stderr.strip():
        told = done.stderr.decode("utf-8", "replace")[:2000]
        raise Failed(f"{' '.join(command)} ended with {done.returncode} and said: {told}")
    output = done.stdout.split(b"\n")
    if output.pop() != b"":
        raise Failed(f"{target}: the last line has no end")
    return output


def coverage(tapline, lines):
    """What `--coverage` tells: (kind, field) -> how often mapped, unmapped, unknown."""
    command = [str(tapline), "normalize", "--coverage"]
    done = subprocess.run(command, input=b"\n".join(lines) + b"\n", capture_output=True)
    told = [json.loads(line) for line in done.stderr.split(b"\n") if line]
    wrong = [one for one in told if "field" not in one]
    if done.returncode != 0 or wrong:
        raise Failed(f"{' '.join(command)} ended with {done.returncode} and said: {wrong[:3]}")
    return {(one["kind"], one["field"]): (one["mapped"], one["unmapped"], one["unknown"]) for one in told}


def normalize_rows(tapline, rows, kind):
    """Events of bare rows of one kind."""
    text = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    done = subprocess.run([str(tapline), "normalize", "--kind", kind], input=text, capture_output=True)
    events = [json.loads(line) for line in done.stdout.split(b"\n") if line]
    if done.returncode != 0 or len(events) != len(rows):
        raise Failed(f"{kind}: {len(rows)} bare rows in, {len(events)} events out")
    return events


def normalize_to_ocsf(tapline, lines):
    """The same, parsed; the lines themselves too."""
    output = normalize(tapline, lines, "ocsf")
    return output, [json.loads(line) for line in output]


def validate(shared, lines, processes=2):
    """Runs the schema checker over OCSF lines, in parallel; returns what it complains about."""
    share = -(-len(lines) // processes)
    parts = [lines[start : start + share] for start in range(0, len(lines), share)]
    with tempfile.TemporaryDirectory() as folder:
        running = [start_checker(shared, part, f"{folder}/{number}") for number, part in enumerate(parts)]
        complaints = []
        for process in running:
            told, summary = process.communicate()
            if process.returncode == 2:
                raise Failed(f"the schema checker could not read the output: {summary.decode()}")
            complaints += told.decode("utf-8", "replace").split("\n")
    return complaints


def start_checker(shared, lines, path):
    with open(path, "wb") as file:
        file.write(b"\n".join(lines) + b"\n")
    command = [sys.executable, str(shared / "tools" / "validate_ocsf.py"), path]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
