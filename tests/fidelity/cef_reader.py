"""Reads CEF with liblognorm's parser of the format, which is not ours.

liblognorm is what rsyslog normalizes logs with; package `liblognorm-utils` has its command.
Looked at and not taken: `pycef` and `pourover` do not undo escapes and lose fields with `=` in the
header, `cefevent` only writes, `cefp` is right but was last released in 2020.
Two limits of version 2.0.6 are worked around here: it refuses every version but `CEF:0`, and it
drops the first character after the header's last pipe, taking it for a blank.
"""

import json
import re
import shutil
import subprocess
import tempfile

from program import Failed

COMMAND = "lognormalizer"
RULEBASE = "version=2\nrule=:%event:cef%\n"
HEADER = re.compile(rb"CEF:\d+((?:\|(?:[^|\\]|\\.)*){6}\|)", re.DOTALL)


def is_installed():
    return shutil.which(COMMAND) is not None


def read(lines):
    """Parses CEF lines; each becomes a dict of header fields and `Extensions`."""
    prepared = [HEADER.sub(rb"CEF:0\1 ", line, count=1) for line in lines]
    with tempfile.NamedTemporaryFile("w", suffix=".rulebase") as rulebase:
        rulebase.write(RULEBASE)
        rulebase.flush()
        done = subprocess.run(
            [COMMAND, "-r", rulebase.name, "-e", "json"],
            input=b"\n".join(prepared) + b"\n",
            capture_output=True,
        )
    parsed = [json.loads(line) for line in done.stdout.decode("utf-8").split("\n") if line]
    if len(parsed) != len(lines):
        raise Failed(f"the CEF reader made {len(parsed)} events of {len(lines)} lines")
    return [event_of(result, line) for result, line in zip(parsed, lines)]


def event_of(result, line):
    if "event" not in result:
        raise Failed(f"the CEF reader stops at {result.get('unparsed-data', '')[:200]!r} of {line[:300]!r}")
    return result["event"]
