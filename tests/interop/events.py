"""Appends audit events over gRPC in every way, and checks each record against what was submitted.

usage: events.py --proto DIR --address HOST:PORT --vkey VKEY [--seed N]

The log's policy, which the caller has applied, commits actor.email, drops ctx.password, makes tokens of
ctx.phone, masks card numbers, demands an actor.id of auth.* and rejects deploy.* without an approval.
"""

import argparse
import json
import random
import tempfile

import grpc

import echo
from auditor import make_stubs, refused
from rfc6962 import VerifierKey, check_vectors, leaf_hash, require, verify_inclusion, verify_range

VERDICTS = {1: "accept", 2: "warn", 3: "quarantine", 4: "error"}


class Producer:
    """A producer who believes nothing."""

    def __init__(self, channel, modules, vkey, draw):
        self.messages, grpc_module = modules
        self.stub = grpc_module.EventServiceStub(channel)
        self.key = VerifierKey(vkey)
        self.draw = draw
        self.lies = 0

    def event(self, serial):
        """An event of a random shape, as bytes of a random layout."""
        draw = self.draw
        value = lambda: draw.choice([None, True, 7, -1.5, 1e-7, "\u20ac \"x\"\n", [], {}, [1, {"a": [None]}], {"b": "c"}])
        event = {"act": draw.choice(["auth.login", "data.read"]), "out": "success", "seq": serial}
        event["actor"] = {"id": f"u_{serial}", "email": draw.choice(["a@example.com", "b\u00e9@example.com"])}
        event["ctx"] = {draw.choice(["a", "\U0001f600", "b/c~d", "\ue000"]): value() for _ in range(3)}
        for name, text in (("password", "hunter2"), ("phone", "+49 30 1"), ("note", "card 4111111111111111")):
            if draw.random() < 0.5:
                event["ctx"][name] = text
        if draw.random() < 0.3:
            event["source"] = "web-7"
        if draw.random() < 0.2:
            del event["actor"]
        if draw.random() < 0.1:
            event["ctx"]["long"] = "x" * 70_000
        return json.dumps(event, indent=draw.choice([None, 2]), ensure_ascii=draw.choice([True, False])).encode()

    def checked(self, submitted, record):
        """Checks one record, and that its changes are noticed; returns the hash of its leaf."""
        openings = [(one.path, (one.salt, one.value if one.HasField("value") else None)) for one in record.openings]
        verdict, rules = echo.check_echo(submitted, record.entry, openings)
        require((VERDICTS[record.verdict], list(record.rules)) == (verdict, rules), "another verdict than the record's")
        require(record.leaf_hash == leaf_hash(record.entry), "another leaf hash than the entry's")
        for what, entry, opened in self.lies_about(json.loads(record.entry), openings):
            try:
                echo.check_echo(submitted, entry, opened)
            except echo.Changed:
                self.lies += 1
            else:
                raise AssertionError(f"a lie was taken: {what}")
        return record.leaf_hash

    def lies_about(self, record, openings):
        """Changes of a record and its openings that have to be noticed."""
        text = lambda value: echo.jcs(value).encode()
        for name in sorted(set(record) - echo.SERVER - {"class"}):
            yield f"no {name}", text({key: value for key, value in record.items() if key != name}), openings
            yield f"another {name}", text({**record, name: "other"}), openings
        yield "a member more", text({**record, "resource": {"id": "r", "more": 1}}), openings
        for name in sorted(record.get("ctx", {})):
            if [f"/ctx/{name}", "mask"] not in record.get("red", []):
                yield f"another ctx.{name}", text({**record, "ctx": {**record["ctx"], name: "other"}}), openings
        for position, pair in enumerate(record.get("red", [])):
            red = [other for other in record["red"] if other != pair]
            if pair[1] != "spill":
                yield f"nothing said of {pair}", text({**record, "red": red}), openings
        for position, (path, (salt, value)) in enumerate(openings):
            rest = openings[:position] + openings[position + 1:]
            yield f"no opening of {path}", text(record), rest
            yield f"another salt of {path}", text(record), rest + [(path, (bytes(32), value))]
            yield f"another value of {path}", text(record), rest + [(path, (salt, b"\"other\""))]
        yield "an opening more", text(record), openings + [("/ctx/nowhere", (bytes(32), None))]

    def proved(self, leaf, appended):
        """Verifies that a leaf is in the signed tree."""
        size, root = self.key.verify_checkpoint(appended.checkpoint.note)
        require(appended.leaf_hash == leaf and appended.proof.tree_size == size, "another leaf or tree")
        verify_inclusion(leaf, appended.leaf_index, size, root, list(appended.proof.hashes))

    def append(self, submitted, key=b""):
        """Appends one event; returns the answer."""
        request = self.messages.AppendEventRequest(event=submitted, idempotency_key=key, answer=3)
        answer = self.stub.AppendEvent(request)
        if answer.appended.duplicate:
            require(not answer.record.entry, "a record of an event that was there before")
            self.proved(answer.record.leaf_hash, answer.appended)
        else:
            self.proved(self.checked(submitted, answer.record), answer.appended)
        return answer

    def append_batch(self, events):
        """Appends a batch."""
        answer = self.stub.AppendEventBatch(self.messages.AppendEventBatchRequest(events=events, answer=3))
        require(len(answer.records) == len(events), "not one record for each event")
        leaves = [self.checked(event, record) for event, record in zip(events, answer.records, strict=True)]
        size, root = self.key.verify_checkpoint(answer.appended.checkpoint.note)
        verify_range(leaves, getattr(answer.appended, "from"), size, root, list(answer.appended.range_proof))

    def append_stream(self, events):
        """Appends over one stream; returns the answers."""
        messages = self.messages

        def requests():
            yield messages.AppendEventStreamRequest(answer=3)
            for event in events:
                yield messages.AppendEventStreamRequest(event=event)

        answers = list(self.stub.AppendEventStream(requests()))
        require(len(answers) == len(events), "not one answer for each event")
        for event, answer in zip(events, answers, strict=True):
            if answer.WhichOneof("outcome") == "appended":
                self.proved(self.checked(event, answer.appended.record), answer.appended.appended)
        return answers


def main():
    """Runs everything and prints one line."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--proto", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--vkey", required=True)
    parser.add_argument("--seed", type=int, default=6962)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    check_vectors()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as out, grpc.insecure_channel(options.address) as channel:
        *_, events = make_stubs(options.proto, out, ["attestree/v1/event.proto"])
        producer = Producer(channel, events, options.vkey, draw)
        for serial in range(40):
            producer.append(producer.event(serial))
        first = producer.append(b"{}", b"key")
        again = producer.append(b"{}", b"key")
        require(again.appended.leaf_index == first.appended.leaf_index, "a repeat got another index")
        for count in (1, 2, 33):
            producer.append_batch([producer.event(serial) for serial in range(count)])
        faulty = [b"{", b'{"act":"deploy.x"}', b'{"act":7}', b"[]"]
        answers = producer.append_stream([producer.event(0), *faulty, producer.event(1)])
        outcomes = [answer.WhichOneof("outcome") for answer in answers]
        require(outcomes == ["appended", "refused", "refused", "appended", "refused", "appended"], f"{outcomes}")
        require(answers[2].refused.reason == "POLICY", "not refused by the policy")
        call = producer.stub.AppendEvent
        request = producer.messages.AppendEventRequest
        refused(grpc.StatusCode.INVALID_ARGUMENT, call, request(event=b"{"))
        refused(grpc.StatusCode.FAILED_PRECONDITION, call, request(event=b'{"act":"deploy.x"}'))
        refused(grpc.StatusCode.ALREADY_EXISTS, call, request(event=b"[1]".join([b'{"ctx":{"a":', b"}}"]), idempotency_key=b"key"))
        require(producer.lies > 1_000, f"only {producer.lies} lies were told")
        print(f"every event is in its record; {producer.lies} lies were noticed")


if __name__ == "__main__":
    main()
