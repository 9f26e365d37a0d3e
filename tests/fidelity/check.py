#!/usr/bin/env python3
"""Proves that `tapline normalize` keeps what goes in, on real samples and on generated records.

Needs the folder of shared facts beside the checkout (samples, types, schema checker); without it
the check says so and succeeds. Exit code 1 and one line per promise that does not hold.
"""

import argparse
import json
import pathlib
import sys
import time

import cef_checks
import cef_reader
import ecs_checks
import generate_graph
import generate_hunting
import hunting_checks
import leef_checks
import ocsf_checks
import program
import records
from program import Failed

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared"
GENERATED = 10_000
SHOWN = 10
LEAST_TYPED = 0.90
LEAST_TYPED_COLUMNS = 0.80
# Rows that a peer put under the category of another table: they show robustness, not mapping.
RELABELLED = "relabelled"


class Check:
    """All promises, tried one after the other; a broken one does not hide the next."""

    def __init__(self, tapline, shared, seed, count):
        self.tapline, self.shared = tapline, shared
        self.samples = list(records.samples(shared))
        types = json.loads((shared / "reference" / "graph-security-types.json").read_text(encoding="utf-8"))
        self.generated = [line.encode() for line in generate_graph.lines(types, seed, count)]
        self.rows = list(records.hunting_samples(shared))
        tables = json.loads((shared / "reference" / "advanced-hunting-tables.json").read_text(encoding="utf-8"))
        self.generated_rows = list(generate_hunting.records(tables, seed, count))
        self.failures = 0

    def run(self):
        self.promise("samples to OCSF", self.samples_to_ocsf)
        self.promise("nothing lost", self.nothing_lost)
        self.promise("pages and arrays", self.pages_and_arrays)
        self.promise("generated to OCSF", self.generated_to_ocsf)
        self.promise("sampled rows to OCSF", self.rows_to_ocsf)
        self.promise("generated rows to OCSF", self.generated_rows_to_ocsf)
        self.promise("every column accounted for", self.columns_accounted_for)
        self.promise("bare rows to OCSF", self.bare_rows)
        self.promise("samples and generated to ECS", self.all_to_ecs)
        self.promise("samples and generated to LEEF", self.all_to_leef)
        self.promise("samples and generated to CEF", self.all_to_cef)
        self.promise("attacks on CEF", self.attacks_on_cef)
        return self.failures

    def promise(self, name, tried):
        started = time.monotonic()
        try:
            figures = tried()
            print(f"ok      {name}: {figures} ({time.monotonic() - started:.1f} s)", flush=True)
        except Failed as failure:
            self.failures += 1
            print(f"FAILED  {name}: {failure}", flush=True)

    def samples_to_ocsf(self):
        """Valid, one per record, right class, nothing with a place in `unmapped`, 90 % typed."""
        sources = [record for _, record in self.samples]
        lines, events = program.normalize_to_ocsf(self.tapline, as_lines(sources))
        self.expect_valid(lines)
        ocsf_checks.check_order_and_class(sources, events)
        for (name, record), event in zip(self.samples, events):
            wrong = [] if name.startswith(records.SCRAMBLED) else ocsf_checks.misplaced(record, event)
            if wrong:
                raise Failed(f"{name}: {', '.join(wrong)} have a place and are in `unmapped`")
        return f"{len(events)} events valid; {self.typed_share(sources, events)}"

    def typed_share(self, sources, events):
        alerts = [pair for pair in zip(sources, events) if records.kind(pair[0]) == "graph.alert"]
        typed, total, others = ocsf_checks.coverage(*zip(*alerts))
        share = f"{typed} of {total} fields of Graph alerts typed ({100 * typed / total:.1f} %), rest {others}"
        if typed < LEAST_TYPED * total:
            raise Failed(share)
        return share

    def nothing_lost(self):
        """Every value is still there in some form, also what is wrong by type."""
        sources = as_lines([record for _, record in self.samples]) + self.generated
        lines, _ = program.normalize_to_ocsf(self.tapline, sources)
        for number, (source, line) in enumerate(zip(sources, lines), 1):
            lost = ocsf_checks.lost_values(source, line)
            if lost:
                raise Failed(f"record {number} lost {lost[:SHOWN]}")
        return f"every value of {len(lines)} records is in their events"

    def pages_and_arrays(self):
        """Records come out alike, however they are wrapped.

        The scrambled ones have no time of their own and get that of their arrival.
        """
        sources = [record for name, record in self.samples if not name.startswith(records.SCRAMBLED)]
        plain = program.normalize(self.tapline, as_lines(sources), "ocsf")
        for wrapped in ({"value": sources}, {"records": sources}, sources):
            for indent in (None, 1):
                text = json.dumps(wrapped, ensure_ascii=False, indent=indent).encode()
                if program.normalize_text(self.tapline, text, "ocsf") != plain:
                    raise Failed(f"{text[:40]!r}.. comes out otherwise than line by line")
        return f"{len(plain)} records come out alike in 6 forms"

    def generated_to_ocsf(self):
        """Whatever comes, the output is valid, and a good record has every field in its place."""
        sources = [json.loads(line) for line in self.generated]
        lines, events = program.normalize_to_ocsf(self.tapline, self.generated)
        self.expect_valid(lines)
        ocsf_checks.check_order_and_class(sources, events)
        good = range(0, len(sources), generate_graph.GOOD_EVERY)
        for number in good:
            wrong = ocsf_checks.misplaced(sources[number], events[number])
            if wrong:
                raise Failed(f"generated record {number}: {', '.join(wrong)} are in `unmapped`")
        return f"{len(events)} events valid, {len(good)} good ones with all in place"

    def rows_to_ocsf(self):
        """Valid, of the class of the table and action, every column in its place, 80 % of all typed."""
        sources = [record for _, record in self.rows]
        lines, events = program.normalize_to_ocsf(self.tapline, as_lines(sources))
        self.expect_valid(lines)
        for number, ((name, record), event) in enumerate(zip(self.rows, events), 1):
            relabelled = name.startswith(RELABELLED) or is_relabelled(record)
            hunting_checks.check_class(number, record, event, may_be_base=relabelled)
            self.expect_kept(number, record, lines[number - 1])
            wrong = hunting_checks.misplaced(record, event)
            if wrong and not relabelled:
                raise Failed(f"{name}: {', '.join(wrong)} have a place and are in `unmapped`")
        typed, total, _ = hunting_checks.coverage(sources, events)
        share = f"{typed} of {total} columns typed ({100 * typed / total:.1f} %)"
        if typed < LEAST_TYPED_COLUMNS * total:
            raise Failed(share)
        return f"{len(events)} events valid; {share}"

    def generated_rows_to_ocsf(self):
        """Rows of every table, good and bad: valid, nothing lost, and good ones in their class."""
        lines, events = program.normalize_to_ocsf(self.tapline, as_lines(self.generated_rows))
        self.expect_valid(lines)
        for number, (record, event) in enumerate(zip(self.generated_rows, events)):
            good = number % generate_hunting.GOOD_EVERY == 0
            self.expect_kept(number + 1, record, lines[number])
            if good:
                hunting_checks.check_class(number + 1, record, event, may_be_base=False)
                wrong = hunting_checks.misplaced(record, event)
                if wrong:
                    raise Failed(f"row {number + 1} of {hunting_checks.table(record)}: {wrong} are in `unmapped`")
        return f"{len(events)} events valid, nothing lost"

    def columns_accounted_for(self):
        """`--coverage` tells of every column that says something where it went, and invents none."""
        sources = [record for _, record in self.rows] + self.generated_rows[:: generate_hunting.GOOD_EVERY]
        told = program.coverage(self.tapline, as_lines(sources))
        counted = hunting_checks.columns(sources)
        wrong = [key for key in counted | told if counted.get(key, 0) != sum(told.get(key, (0,)))]
        if wrong:
            pairs = [(key, counted.get(key, 0), told.get(key)) for key in wrong[:SHOWN]]
            raise Failed(f"{len(wrong)} columns are not accounted for: {pairs}")
        documented = program.coverage(self.tapline, as_lines(self.generated_rows[:: generate_hunting.GOOD_EVERY]))
        new = [key for key, counts in documented.items() if counts[2] and hunting_checks.has_mapping(key[0])]
        if new:
            raise Failed(f"documented columns that their mapping does not know: {new[:SHOWN]}")
        return f"{len(counted)} columns of {len(sources)} rows"

    def bare_rows(self):
        """Rows of a query are read like those of the stream."""
        by_table = {}
        for _, record in self.rows:
            by_table.setdefault(hunting_checks.table(record), []).append(record)
        for table, sources in by_table.items():
            _, streamed = program.normalize_to_ocsf(self.tapline, as_lines(sources))
            rows = [record["properties"] for record in sources]
            bare = program.normalize_rows(self.tapline, rows, f"hunting.{table}")
            for record, one, other in zip(sources, streamed, bare):
                hunting_checks.check_bare(record, one, other)
        return f"{len(self.rows)} rows of {len(by_table)} tables come out alike"

    def all_to_ecs(self):
        """Every event has only fields that ECS has, of their types, and shows every value of its record."""
        records_read = [record for _, record in self.samples + self.rows]
        sources = as_lines(records_read) + self.generated + as_lines(self.generated_rows)
        written = program.normalize(self.tapline, sources, "ecs")
        known = ecs_checks.fields()
        for number, (source, line) in enumerate(zip(sources, written), 1):
            record, event = json.loads(source), json.loads(line)
            ecs_checks.check_event(number, event, known, records.kind(record))
            lost = ecs_checks.lost(record, source, line)
            if lost:
                raise Failed(f"record {number} ({records.kind(record)}) lost {lost[:SHOWN]}")
        return f"{len(written)} events hold only what ECS knows, nothing lost"

    def all_to_leef(self):
        """Every line is what IBM's description of the format allows."""
        lines = as_lines([record for _, record in self.samples]) + self.generated
        lines += as_lines([record for _, record in self.rows] + self.generated_rows)
        written = program.normalize(self.tapline, lines, "leef")
        for number, line in enumerate(written, 1):
            leef_checks.check_line(number, line)
        return f"{len(written)} lines read back, longest {max(map(len, written))} bytes"

    def expect_kept(self, number, record, line):
        lost = hunting_checks.lost_values(record, line.decode())
        if lost:
            raise Failed(f"row {number} of {hunting_checks.table(record)} lost {lost[:SHOWN]}")

    def all_to_cef(self):
        """Every line is what the standard allows, by a reader that is not ours."""
        lines = as_lines([record for _, record in self.samples]) + self.generated
        lines += as_lines([record for _, record in self.rows] + self.generated_rows)
        written = program.normalize(self.tapline, lines, "cef")
        keys = cef_checks.dictionary(self.shared)
        events = cef_reader.read(written)
        for number, (line, event) in enumerate(zip(written, events), 1):
            cef_checks.check_line(number, line, event, keys)
        longest = max(map(len, written))
        shortened = sum("MicrosoftDefenderTruncated" in event["Extensions"] for event in events)
        return f"{len(events)} lines read back, longest {longest} bytes, {shortened} shortened"

    def attacks_on_cef(self):
        sources = cef_checks.attack_records()
        written = program.normalize(self.tapline, as_lines(sources), "cef")
        keys = cef_checks.dictionary(self.shared)
        compared = cef_checks.check_attacks(sources, cef_reader.read(written), keys)
        return f"{compared} fields of {len(sources)} hostile records come back as they have to"

    def expect_valid(self, lines):
        errors = [line for line in program.validate(self.shared, lines) if "\terror\t" in line]
        if errors:
            raise Failed(f"{len(errors)} violations of the schema:\n" + "\n".join(errors[:SHOWN]))


def is_relabelled(record):
    """Rows that have an action of processes under the category of another table, or no process at all."""
    row = record["properties"]
    foreign = not hunting_checks.table(record).startswith("Device") and "InitiatingProcessId" in row
    return foreign or (row.get("ActionType") == "ProcessCreatedUsingWmiQuery" and not row.get("ProcessId"))


def as_lines(sources):
    return [json.dumps(record, ensure_ascii=False).encode() for record in sources]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tapline", type=pathlib.Path, required=True, help="the program under test")
    parser.add_argument("--shared", type=pathlib.Path, default=SHARED)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=GENERATED)
    arguments = parser.parse_args()
    if not (arguments.shared / "samples").is_dir():
        print(f"skipped: no samples in {arguments.shared}; fidelity was not checked")
        return 0
    if not cef_reader.is_installed():
        print(f"FAILED  `{cef_reader.COMMAND}` is missing; install the package liblognorm-utils")
        return 1
    failures = Check(arguments.tapline, arguments.shared, arguments.seed, arguments.count).run()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
