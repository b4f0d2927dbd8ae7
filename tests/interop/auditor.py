"""A client who believes nothing: one log, every call, every answer verified.

The stubs are made from `proto/` at run time, so that what is tested is the published protocol. Each
proof is also mutated; the mutants and our verdicts are written down as JSON lines, for the Rust
verifier to agree or disagree with.
"""

import importlib
import json
import pathlib
import sys

import grpc
from grpc_tools import protoc

import rfc6962
from rfc6962 import accepts, damaged, leaf_hash, require

BUNDLE_WIDTH = 256

# The two standard services, as far as they are called here.
HEALTH_PROTO = """
syntax = "proto3";
package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
  ServingStatus status = 1;
}
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
"""
REFLECTION_PROTO = """
syntax = "proto3";
package grpc.reflection.v1;
message ServerReflectionRequest {
  string host = 1;
  oneof message_request { string file_containing_symbol = 4; string list_services = 7; }
}
message FileDescriptorResponse { repeated bytes file_descriptor_proto = 1; }
message ServiceResponse { string name = 1; }
message ListServiceResponse { repeated ServiceResponse service = 1; }
message ServerReflectionResponse {
  FileDescriptorResponse file_descriptor_response = 4;
  ListServiceResponse list_services_response = 6;
}
service ServerReflection {
  rpc ServerReflectionInfo(stream ServerReflectionRequest) returns (stream ServerReflectionResponse);
}
"""


def make_stubs(proto, out, more=()):
    """Compiles the protocol into `out` and returns the (messages, stubs) modules of each file.

    The files are log.proto, those of the two standard services, and `more`.
    """
    own = pathlib.Path(out, "standard")
    own.mkdir()
    (own / "health.proto").write_text(HEALTH_PROTO)
    (own / "reflection.proto").write_text(REFLECTION_PROTO)
    names = ["attestree/v1/log.proto", "health.proto", "reflection.proto", *more]
    arguments = ["protoc", f"-I{proto}", f"-I{own}", f"--python_out={out}", f"--grpc_python_out={out}"]
    require(protoc.main(arguments + names) == 0, "protoc failed")
    sys.path.insert(0, str(out))
    modules = [name.removesuffix(".proto").replace("/", ".") for name in names]
    return [
        (importlib.import_module(f"{name}_pb2"), importlib.import_module(f"{name}_pb2_grpc"))
        for name in modules
    ]


def refused(code, call, *arguments):
    """Requires that a call ends with this status."""
    try:
        answer = call(*arguments)
        # A stream reports its status when it is read.
        if hasattr(answer, "__next__"):
            list(answer)
    except grpc.RpcError as error:
        require(error.code() == code, f"wanted {code}, got {error.code()}: {error.details()}")
        require(error.details(), "a refusal without a sentence")
        return
    raise rfc6962.Rejected(f"wanted {code}, but the call was answered")


class Probes:
    """The mutants and the verdicts on them, for the Rust verifier."""

    def __init__(self, path, random_source):
        self._file = open(path, "w", encoding="ascii")
        self._random = random_source
        self.count = 0

    def _write(self, kind, accept, fields):
        def plain(value):
            if isinstance(value, bytes):
                return value.hex()
            return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

        fields = {name: plain(value) for name, value in fields.items()}
        self._file.write(json.dumps({"kind": kind, "accept": accept, **fields}) + "\n")
        self.count += 1

    def judge(self, kind, **fields):
        """Records a case with our verdict, and returns the verdict."""
        accept = accepts(getattr(rfc6962, f"verify_{kind}"), *fields.values())
        self._write(kind, accept, fields)
        return accept

    def explore(self, kind, forgeries, **fields):
        """Verifies an honest case and rejects its mutants.

        `forgeries` are changed fields that have to be rejected; every number is besides moved by one,
        where the two verifiers need only agree: RFC 6962 does not bind a size to a proof's shape.
        """
        require(self.judge(kind, **fields), f"{kind}: an honest proof does not verify")
        proofs = [{"proof": proof} for proof in damaged(fields["proof"], self._random)]
        for change in proofs + forgeries:
            require(not self.judge(kind, **{**fields, **change}), f"{kind}: a forgery verifies: {change}")
        for name, value in fields.items():
            if isinstance(value, int):
                self.judge(kind, **{**fields, name: value + 1})
                self.judge(kind, **{**fields, name: max(value - 1, 0)})

    def close(self):
        """Writes out what is buffered."""
        self._file.close()


class Auditor:
    """One log as seen by a client who believes nothing."""

    def __init__(self, channel, modules, vkey, probes, random_source):
        self.messages, grpc_module = modules
        self.stub = grpc_module.LogServiceStub(channel)
        self.key = rfc6962.VerifierKey(vkey)
        self.log = self.key.name
        self.tree = rfc6962.Tree()
        self.entries = {}
        self.seen = {}
        self.probes = probes
        self.random = random_source
        self.serial = 0

    def request(self, name, **fields):
        """A request message for this log."""
        return getattr(self.messages, f"{name}Request")(log=self.log, **fields)

    def fresh(self, prefix=b"entry"):
        """An entry that no log holds yet, of a random length."""
        self.serial += 1
        filler = self.random.randbytes(self.random.randrange(64))
        return b"%s %d of %s " % (prefix, self.serial, self.log.encode()) + filler

    def checkpoint(self, message):
        """Verifies a checkpoint and remembers it; returns (size, root)."""
        size, root = self.key.verify_checkpoint(message.note)
        require((message.tree_size, message.root_hash) == (size, root), "fields differ from the note")
        require(self.seen.setdefault(size, root) == root, f"two roots for size {size}")
        return size, root

    def newest(self):
        """The newest checkpoint's (size, root)."""
        return self.checkpoint(self.stub.GetCheckpoint(self.request("GetCheckpoint")).checkpoint)

    def accepted(self, entry, answer):
        """Verifies the answer to one append as far as it goes."""
        require(answer.leaf_hash == leaf_hash(entry), "leaf hash differs")
        known = self.entries.setdefault(answer.leaf_index, entry)
        require(known == entry, f"two entries at index {answer.leaf_index}")
        if answer.HasField("checkpoint"):
            size, root = self.checkpoint(answer.checkpoint)
            require(answer.leaf_index < size, "not covered by the checkpoint")
            if answer.HasField("proof"):
                self.included(answer.leaf_hash, answer.leaf_index, answer.proof, size, root)

    def included(self, leaf, index, proof, size, root):
        """Verifies an inclusion proof message and its mutants."""
        require((proof.leaf_index, proof.tree_size) == (index, size), "the proof is for another leaf")
        forgeries = [{"leaf": leaf_hash(b"forged")}, {"root": leaf_hash(b"forged")}]
        if index ^ 1 < size:
            forgeries.append({"index": index ^ 1})
        fields = {"leaf": leaf, "index": index, "size": size, "root": root, "proof": list(proof.hashes)}
        self.probes.explore("inclusion", forgeries, **fields)

    def append(self, entry, key=b"", answer="ANSWER_RECEIPT"):
        """Appends one entry and verifies the answer, which it returns."""
        wanted = self.messages.Answer.Value(answer)
        request = self.request("Append", entry=entry, idempotency_key=key, answer=wanted)
        response = self.stub.Append(request)
        self.accepted(entry, response)
        require(response.HasField("checkpoint") == (wanted >= 2), "not the answer that was asked for")
        require(response.HasField("proof") == (wanted == 3), "not the answer that was asked for")
        return response

    def append_batch(self, entries, keys=None, mutate=True):
        """Appends a batch, verifies range, duplicates and both proofs; returns the answer."""
        if keys is None:
            fields = {"entries": entries}
        else:
            pairs = zip(entries, keys, strict=True)
            keyed = [self.messages.BatchEntry(entry=entry, idempotency_key=key) for entry, key in pairs]
            fields = {"keyed_entries": keyed}
        request = self.request("AppendBatch", answer=self.messages.ANSWER_RECEIPT, **fields)
        answer = self.stub.AppendBatch(request)
        size, root = self.checkpoint(answer.checkpoint)
        repeated = {duplicate.position: duplicate.leaf_index for duplicate in answer.duplicates}
        require(list(repeated) == sorted(repeated), "duplicates out of order")
        start = getattr(answer, "from")
        require(len(entries) - len(repeated) == answer.to - start, "count differs")

        fresh = [entry for position, entry in enumerate(entries) if position not in repeated]
        for index, entry in enumerate(fresh, start):
            require(self.entries.setdefault(index, entry) == entry, f"two entries at index {index}")
        if fresh:
            leaves = [leaf_hash(entry) for entry in fresh]
            fields = {"leaves": leaves, "start": start, "size": size, "root": root}
            fields["proof"] = list(answer.range_proof)
            forgeries = [{"leaves": [*leaves[:-1], leaf_hash(b"forged")]}, {"leaves": []}]
            if mutate:
                self.probes.explore("range", forgeries, **fields)
            else:
                rfc6962.verify_range(*fields.values())

        for position, index in repeated.items():
            if index in self.entries:
                require(self.entries[index] == entries[position], "a duplicate of another entry")
        outside = {index: leaf_hash(entries[position]) for position, index in repeated.items()
                   if not start <= index < answer.to}
        if outside:
            self.batch_proven(sorted(outside.items()), size, root, answer.duplicates_proof)
        else:
            require(not answer.duplicates_proof, "a proof of nothing")
        return answer

    def batch_proven(self, leaves, size, root, proof):
        """Verifies a multi-proof and its mutants."""
        forgeries = [{"leaves": [*leaves[:-1], (leaves[-1][0], leaf_hash(b"forged"))]},
                     {"leaves": [*leaves, leaves[-1]]}]
        if len(leaves) > 1:
            forgeries.append({"leaves": leaves[::-1]})
        fields = {"leaves": leaves, "size": size, "root": root, "proof": list(proof)}
        self.probes.explore("batch", forgeries, **fields)

    def append_stream(self, entries, keys):
        """Appends over one stream; the answers come in order. Returns them."""
        def requests():
            # The first message may carry the settings alone.
            answer = self.messages.ANSWER_RECEIPT
            yield self.request("AppendStream", answer=answer)
            for entry, key in zip(entries, keys, strict=True):
                yield self.messages.AppendStreamRequest(entry=entry, idempotency_key=key)

        answers = list(self.stub.AppendStream(requests()))
        require(len(answers) == len(entries), "not one answer for each entry")
        for entry, answer in zip(entries, answers, strict=True):
            if answer.WhichOneof("outcome") == "appended":
                self.accepted(entry, answer.appended)
        return answers

    def read(self, start=0, end=None):
        """Reads entries by stream and requires them to be contiguous; returns them."""
        entries = []
        fields = {"from": start} if end is None else {"from": start, "to": end}
        for message in self.stub.ReadEntries(self.request("ReadEntries", **fields)):
            require(getattr(message, "from") == start + len(entries), "a gap")
            require(1 <= len(message.entries) <= BUNDLE_WIDTH, "a message too long or empty")
            entries.extend(message.entries)
        return entries

    def read_back(self):
        """Reads the whole log: every entry acknowledged is there, every root seen is its root."""
        size, root = self.newest()
        entries = self.read(0, size)
        require(len(entries) == size, "entries missing")
        for index, entry in self.entries.items():
            require(entries[index] == entry, f"the entry at {index} was acknowledged, then changed")
        self.tree = rfc6962.Tree()
        self.tree.leaves = [leaf_hash(entry) for entry in entries]
        for seen, seen_root in self.seen.items():
            require(self.tree.root(seen) == seen_root, f"the root of size {seen} is not of these entries")
        return size, root
