#!/usr/bin/env python3
"""Reads everything from a simulated hub with Microsoft's own client, and compares it with the ledger.

    judge.py ANNOUNCEMENT LEDGER [--repeats] [--transport clear|tls|websocket] [--only-reading]

ANNOUNCEMENT is the line that `tapline simulate` prints, as text. Nothing new may come meanwhile. Every mistake is printed as a
line; the exit code is 1 if there is one. With --repeats records may come more than once, and numbers may have gaps where messages
expired. With --only-reading it is not judged where readers may begin, and who is refused.
"""

import argparse
import hashlib
import json
import logging
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone

import azure.eventhub._pyamqp._transport as transport
from azure.eventhub import EventHubConsumerClient, TransportType
from azure.eventhub.exceptions import EventHubError

# The client copies the segment size of the loopback device back to the socket, which Linux refuses.
transport.KNOWN_TCP_OPTS.discard("TCP_MAXSEG")

GROUP = "$Default"
LIMIT_SECS = 120


class Judge:
    def __init__(self, announcement, arguments):
        self.announcement = announcement
        self.ledger = arguments.ledger
        self.repeats = arguments.repeats
        self.only_reading = arguments.only_reading
        self.connection_string, self.transport = self.way_in(announcement["eventhub"], arguments.transport)
        self.mistakes = []

    def way_in(self, hub, transport):
        """The connection string, and what the client must be told besides."""
        if transport == "clear":
            return hub["connection_string"], {}
        self.authority = tempfile.NamedTemporaryFile("w", suffix=".pem")
        self.authority.write(hub["authority"])
        self.authority.flush()
        port = hub["tls_port"] if transport == "tls" else hub["websocket_port"]
        kind = TransportType.Amqp if transport == "tls" else TransportType.AmqpOverWebsocket
        return hub["tls_connection_string"], {
            "transport_type": kind,
            "custom_endpoint_address": f"sb://localhost:{port}",
            "connection_verify": self.authority.name,
        }

    def check(self, right, mistake):
        if not right:
            self.mistakes.append(mistake)

    def client(self, connection_string=None, **keywords):
        keywords.setdefault("consumer_group", GROUP)
        keywords.setdefault("retry_total", 1)
        text = connection_string or self.connection_string
        return EventHubConsumerClient.from_connection_string(text, **self.transport, **keywords)

    def run(self):
        properties, partitions = self.read_properties()
        events = {}
        for partition in properties["partition_ids"]:
            expected = partitions[partition]
            events[partition] = self.read(partition, until=expected["last_enqueued_sequence_number"])
            self.check_places(partition, events[partition], expected)
        self.check_records(events)
        fullest = max(events, key=lambda partition: len(events[partition]))
        self.check_lag(fullest, partitions[fullest])
        if not self.only_reading:
            self.check_starts(fullest, events[fullest])
            self.check_owners(fullest)
            self.check_refusals(fullest)
        return events

    def read_properties(self):
        with self.client() as client:
            properties = client.get_eventhub_properties()
            ids = properties["partition_ids"]
            self.check(properties["eventhub_name"] == "defender", f"the hub is called {properties}")
            count = self.announcement["eventhub"]["partitions"]
            self.check(ids == [str(n) for n in range(count)], f"partitions are {ids}")
            return properties, {partition: client.get_partition_properties(partition) for partition in ids}

    def read(self, partition, until, position="-1", inclusive=False, **keywords):
        """Events of one partition up to the sequence number `until`."""
        events, failures, done = [], [], threading.Event()
        if until < 0:
            return events

        def take(_context, batch):
            events.extend(batch)
            if batch and batch[-1].sequence_number >= until:
                done.set()

        def fail(_context, error):
            failures.append(error)
            done.set()

        client = self.client()
        reading = threading.Thread(
            target=client.receive_batch,
            args=(take,),
            kwargs={
                "on_error": fail,
                "partition_id": partition,
                "starting_position": position,
                "starting_position_inclusive": inclusive,
                "max_wait_time": 1,
                "max_batch_size": 100,
                **keywords,
            },
            daemon=True,
        )
        reading.start()
        if not done.wait(LIMIT_SECS):
            failures.append(TimeoutError(f"only {len(events)} events within {LIMIT_SECS} s"))
        client.close()
        reading.join(10)
        for failure in failures:
            self.mistakes.append(f"partition {partition} from {position}: {type(failure).__name__}: {failure}")
        return events

    def check_places(self, partition, events, expected):
        """Sequence numbers, offsets, and times are what they must be, and the properties say the same."""
        self.check(expected["id"] == partition, f"partition {partition} calls itself {expected['id']}")
        self.check(expected["is_empty"] == (not events), f"partition {partition}: is_empty is {expected['is_empty']}")
        if not events:
            return
        numbers = [event.sequence_number for event in events]
        first = expected["beginning_sequence_number"]
        last = expected["last_enqueued_sequence_number"]
        self.check(numbers == list(range(first, last + 1)), f"partition {partition}: numbers are not {first}..{last}, each once")
        self.check(self.repeats or first == 0, f"partition {partition} begins with {first}")
        offsets = [int(event.offset) for event in events]
        self.check(offsets == sorted(set(offsets)), f"partition {partition}: offsets do not grow")
        self.check(str(offsets[-1]) == expected["last_enqueued_offset"], f"partition {partition}: the last offset is another")
        times = [event.enqueued_time for event in events]
        self.check(times == sorted(times), f"partition {partition}: times go back")
        self.check(times[-1] == expected["last_enqueued_time_utc"], f"partition {partition}: the last time is another")
        now = datetime.now(timezone.utc)
        self.check(now - timedelta(hours=1) < times[0] <= now + timedelta(seconds=5), f"partition {partition}: {times[0]}")

    def check_records(self, events):
        seen = Counter()
        for partition, batch in events.items():
            for event in batch:
                try:
                    for record in records_of(body_of(event)):
                        seen[identity(record)] += 1
                except ValueError as error:
                    self.mistakes.append(f"partition {partition}, {event.sequence_number}: {error}")
        made = self.made()
        self.check(made, "the ledger has no record of a hunting table")
        for line in made - seen.keys():
            self.mistakes.append(f"missing: {line}")
        for line in seen.keys() - made:
            self.mistakes.append(f"not in the ledger: {line}")
        for line, count in seen.items():
            self.check(self.repeats or count == 1, f"{count} times: {line}")
        print(f"{len(made)} records of {len({kind for kind, *_ in made})} tables in {sum(map(len, events.values()))} messages")

    def made(self):
        made = set()
        with open(self.ledger, encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                if line["kind"].startswith("hunting."):
                    self.check(line["version"] == "1", f"version of {line}")
                    made.add((line["kind"], line["tenant"], line["id"]))
        return made

    def check_starts(self, partition, events):
        """A reader gets exactly what stands after (or at) the place that it names."""
        middle = events[len(events) // 2]
        last = events[-1].sequence_number
        # events of one millisecond cannot be told apart by their time
        since = [event for event in events if event.enqueued_time > middle.enqueued_time]
        at = [event for event in events if event.enqueued_time >= middle.enqueued_time]
        number = middle.sequence_number
        for what, position, inclusive, first in [
            ("after an offset", middle.offset, False, number + 1),
            ("from an offset", middle.offset, True, number),
            ("after a number", number, False, number + 1),
            ("from a number", number, True, number),
            ("after a time", middle.enqueued_time, False, since[0].sequence_number if since else None),
            ("from a time", middle.enqueued_time, True, at[0].sequence_number),
        ]:
            if first is None or first > last:
                continue
            got = [event.sequence_number for event in self.read(partition, last, position, inclusive)]
            self.check(got == list(range(first, last + 1)), f"{what}: {len(got)} events from {got[:1]}, not from {first}")

    def check_lag(self, partition, expected):
        events = self.read(partition, expected["last_enqueued_sequence_number"], track_last_enqueued_event_properties=True)
        # the client keeps them per receiver; the delivery annotations of a message are what the service sent
        annotations = events[-1].raw_amqp_message.delivery_annotations or {}
        said = {text(key): value for key, value in annotations.items()}
        self.check(
            said.get("last_enqueued_sequence_number") == expected["last_enqueued_sequence_number"]
            and text(said.get("last_enqueued_offset")) == expected["last_enqueued_offset"],
            f"the receiver's runtime metric says {said}",
        )

    def check_owners(self, partition):
        """A reader with a higher owner level takes the partition, one with a lower is refused."""
        stolen, entered = threading.Event(), threading.Event()
        errors = []

        def fail(_context, error):
            errors.append(error)
            stolen.set()

        first = self.client(retry_total=0)
        arguments = {"partition_id": partition, "starting_position": "-1", "max_wait_time": 1}
        reading = threading.Thread(
            target=first.receive_batch,
            args=(lambda *_: entered.set(),),
            kwargs={**arguments, "owner_level": 1, "on_error": fail},
            daemon=True,
        )
        reading.start()
        self.check(entered.wait(20), "the first owner reads nothing")
        second = self.client(retry_total=0)
        threading.Thread(
            target=second.receive_batch, args=(lambda *_: None,), kwargs={**arguments, "owner_level": 2}, daemon=True
        ).start()
        self.check(stolen.wait(20), "the first owner was not displaced")
        self.check("higher epoch" in str(errors), f"the first owner was told {errors}")
        self.refused(partition, "higher epoch", owner_level=0)
        second.close()
        first.close()

    def check_refusals(self, partition):
        self.refused(partition, "not be found", consumer_group="nobody")
        wrong = self.connection_string.replace("SharedAccessKey=", "SharedAccessKey=x")
        self.refused(partition, "", connection_string=wrong)
        other = self.connection_string.replace("EntityPath=defender", "EntityPath=other")
        self.refused(partition, "", connection_string=other)
        self.refused(partition, "offset", starting_position="no-such-offset")

    def refused(self, partition, expected, connection_string=None, consumer_group=GROUP, **keywords):
        errors, failed = [], threading.Event()

        def fail(_context, error):
            errors.append(error)
            failed.set()

        client = self.client(connection_string, consumer_group=consumer_group, retry_total=0)
        keywords.setdefault("starting_position", "-1")
        reading = threading.Thread(
            target=client.receive_batch,
            args=(lambda *_: None,),
            kwargs={"partition_id": partition, "on_error": fail, "max_wait_time": 1, **keywords},
            daemon=True,
        )
        reading.start()
        case = f"{partition} {consumer_group} {keywords}"
        self.check(failed.wait(30), f"not refused: {case}")
        client.close()
        known = all(isinstance(error, EventHubError) for error in errors)
        self.check(known and expected in str(errors), f"{case}: refused with {errors!r}, not {expected!r}")


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def body_of(event):
    body = event.body
    if isinstance(body, (str, bytes)):
        return text(body)
    parts = (item for part in body for item in (part if isinstance(part, list) else [part]))
    return b"".join(part if isinstance(part, bytes) else part.encode() for part in parts).decode()


def records_of(body):
    """Raw texts of the records of a message, in whatever form it comes."""
    position, decoder = 0, json.JSONDecoder()
    while True:
        while position < len(body) and body[position].isspace():
            position += 1
        if position == len(body):
            return
        value, end = decoder.raw_decode(body, position)
        yield from flatten(value, body[position:end])
        position = end


def flatten(value, raw):
    if isinstance(value, list):
        if value:
            yield from elements(raw, raw.index("[") + 1)
    elif "records" in value and "category" not in value:
        inner = raw.index("[", raw.index('"records"'))
        if value["records"]:
            yield from elements(raw, inner + 1)
    else:
        yield raw


def elements(raw, position):
    decoder = json.JSONDecoder()
    while True:
        while raw[position] in " \r\n\t,":
            position += 1
        if raw[position] == "]":
            return
        _, end = decoder.raw_decode(raw, position)
        yield raw[position:end]
        position = end


def identity(raw):
    record = json.loads(raw)
    table = record["category"].removeprefix("AdvancedHunting-")
    start = raw.index('"properties":') + len('"properties":')
    _, end = json.JSONDecoder().raw_decode(raw, start)
    digest = hashlib.sha256(table.encode() + b"\0" + raw[start:end].encode()).hexdigest()
    return (f"hunting.{table}", record["tenantId"], digest[:32])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("announcement")
    arguments.add_argument("ledger")
    arguments.add_argument("--repeats", action="store_true")
    arguments.add_argument("--transport", choices=["clear", "tls", "websocket"], default="clear")
    arguments.add_argument("--only-reading", action="store_true")
    arguments = arguments.parse_args()
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    judge = Judge(json.loads(arguments.announcement), arguments)
    start = time.monotonic()
    judge.run()
    for mistake in judge.mistakes[:50]:
        print(mistake)
    print(f"{len(judge.mistakes)} mistakes, {time.monotonic() - start:.1f} s")
    sys.exit(1 if judge.mistakes else 0)


if __name__ == "__main__":
    main()
