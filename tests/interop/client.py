"""Drives every call of a log over gRPC and verifies every answer, and what must be refused.

usage: client.py --proto DIR --address HOST:PORT --vkey DEFAULT --vkey WITH_ENTRY_HASH_IDENTITY
                 --probes FILE [--fill N] [--seed N]
"""

import argparse
import random
import tempfile
import threading

import grpc
from google.protobuf import descriptor_pb2

import rfc6962
from auditor import Auditor, Probes, make_stubs, refused
from rfc6962 import leaf_hash, require

# The most entries in one AppendBatch.
BATCH_ENTRIES_MAX = 4_096


def check_standard_services(channel, log_messages, health, reflection):
    """The health service answers, and reflection describes the protocol that we compiled."""
    messages, stubs = health
    check = stubs.HealthStub(channel).Check
    require(check(messages.HealthCheckRequest()).status == 1, "not serving")
    own = messages.HealthCheckRequest(service="attestree.v1.LogService")
    require(check(own).status == 1, "the log service is not serving")
    refused(grpc.StatusCode.NOT_FOUND, check, messages.HealthCheckRequest(service="no.such.Service"))

    messages, stubs = reflection
    info = stubs.ServerReflectionStub(channel).ServerReflectionInfo
    asked = [messages.ServerReflectionRequest(list_services="*"),
             messages.ServerReflectionRequest(file_containing_symbol="attestree.v1.LogService")]
    listed, described = info(iter(asked))
    names = {service.name for service in listed.list_services_response.service}
    wanted = {"attestree.v1.LogService", "grpc.health.v1.Health"}
    require(wanted <= names, f"reflection lists {sorted(names)}")
    require("attestree.v1.AdminService" not in names, "the admin service is on the network")
    parse = descriptor_pb2.FileDescriptorProto
    files = [parse.FromString(file) for file in described.file_descriptor_response.file_descriptor_proto]
    local = parse()
    log_messages.DESCRIPTOR.CopyToProto(local)
    served = [file for file in files if file.name.endswith("log.proto")]
    require(len(served) == 1, "reflection does not hold log.proto")
    calls = [{(m.name, m.client_streaming, m.server_streaming) for m in file.service[0].method}
             for file in (local, served[0])]
    require(calls[0] == calls[1], "reflection describes other calls")
    fields = [{(message.name, field.name, field.number, field.type) for message in file.message_type
               for field in message.field} for file in (local, served[0])]
    require(fields[0] == fields[1], "reflection describes other messages")


def appends(auditor):
    """Single appends, at each size up to past one tile, with each kind of answer."""
    require(auditor.newest()[0] == 0, "the log is not empty")
    for index in range(70):
        answer = auditor.append(auditor.fresh())
        require((answer.leaf_index, answer.duplicate) == (index, False), "not the next index")
    for answer in ("ANSWER_UNSPECIFIED", "ANSWER_INDEX", "ANSWER_CHECKPOINT"):
        auditor.append(auditor.fresh(), answer=answer)
    # Without a key and without entry-hash identity, equal bytes are appended again.
    entry = auditor.fresh()
    first, second = auditor.append(entry), auditor.append(entry)
    require(second.leaf_index == first.leaf_index + 1 and not second.duplicate, "an entry was merged")
    # The longest and the shortest entry, and bytes that are no text.
    for entry in (b"\x00", b"\xff" * 65_535, bytes(range(256))):
        auditor.append(entry)


def idempotency_keys(auditor):
    """A repeat gets the first index; other content under the same key is refused."""
    entry, key = auditor.fresh(), b"k" * 256
    first = auditor.append(entry, key)
    for answer in ("ANSWER_INDEX", "ANSWER_RECEIPT"):
        again = auditor.append(entry, key, answer)
        require((again.leaf_index, again.duplicate) == (first.leaf_index, True), "not the first index")
    request = auditor.request("Append", entry=auditor.fresh(), idempotency_key=key)
    refused(grpc.StatusCode.ALREADY_EXISTS, auditor.stub.Append, request)
    require(auditor.newest()[0] == first.leaf_index + 1, "a repeat grew the log")


def batches(auditor):
    """Batches of many sizes, across bundle edges, with repeats inside and outside."""
    for count in (1, 2, 3, 7, 64, 255, 256, 257):
        auditor.append_batch([auditor.fresh() for _ in range(count)])
    old_entry, new_entry, other = auditor.fresh(), auditor.fresh(), auditor.fresh()
    old = auditor.append(old_entry, b"old")
    size = auditor.newest()[0]
    answer = auditor.append_batch([new_entry, old_entry, new_entry, other, old_entry],
                                  [b"new", b"old", b"new", b"", b"old"])
    repeated = [(duplicate.position, duplicate.leaf_index) for duplicate in answer.duplicates]
    require(repeated == [(1, old.leaf_index), (2, size), (4, old.leaf_index)], f"duplicates {repeated}")
    require((getattr(answer, "from"), answer.to) == (size, size + 2), "not the next range")
    # Nothing new at all: an empty range, and one proof of all.
    answer = auditor.append_batch([new_entry, old_entry], [b"new", b"old"])
    require(getattr(answer, "from") == answer.to and len(answer.duplicates) == 2, "a repeat grew the log")
    # Atomic: one conflict refuses the whole batch.
    entry = auditor.messages.BatchEntry
    entries = [entry(entry=auditor.fresh(), idempotency_key=key) for key in (b"a", b"old")]
    request = auditor.request("AppendBatch", keyed_entries=entries)
    refused(grpc.StatusCode.ALREADY_EXISTS, auditor.stub.AppendBatch, request)
    require(auditor.newest()[0] == size + 2, "a refused batch left entries")


def stream(auditor):
    """A stream answers in order, and one refusal does not end it."""
    size = auditor.newest()[0]
    entries = [auditor.fresh(b"streamed") for _ in range(300)]
    keys = [b""] * 300
    answers = auditor.append_stream(entries, keys)
    indices = [answer.appended.leaf_index for answer in answers]
    require(indices == list(range(size, size + 300)), "not in the order of the requests")
    entries = [b"one", b"two", b"three", b"x" * 65_536, b"four"]
    answers = auditor.append_stream(entries, [b"s", b"", b"s", b"", b""])
    outcomes = [answer.WhichOneof("outcome") for answer in answers]
    require(outcomes == ["appended", "appended", "refused", "refused", "appended"], f"{outcomes}")
    require(answers[2].refused.code == grpc.StatusCode.ALREADY_EXISTS.value[0], "not ALREADY_EXISTS")
    require(answers[2].refused.first_index == answers[0].appended.leaf_index, "not the first index")
    require(answers[3].refused.code == grpc.StatusCode.INVALID_ARGUMENT.value[0], "not INVALID_ARGUMENT")


def entry_identity(auditor):
    """A log that keeps equal entries once, and finds them by leaf hash."""
    entry = auditor.fresh()
    first = auditor.append(entry)
    again = auditor.append(entry)
    require((again.leaf_index, again.duplicate) == (first.leaf_index, True), "an entry was kept twice")
    a, b = auditor.fresh(), auditor.fresh()
    size = auditor.newest()[0]
    answer = auditor.append_batch([a, entry, b, a])
    repeated = [(duplicate.position, duplicate.leaf_index) for duplicate in answer.duplicates]
    require(repeated == [(1, first.leaf_index), (3, size)], f"duplicates {repeated}")
    prove = auditor.stub.ProveInclusion
    for wanted in (entry, a, b):
        found = prove(auditor.request("ProveInclusion", leaf_hash=leaf_hash(wanted)))
        require(auditor.entries[found.proof.leaf_index] == wanted, "another entry")
        size, root = auditor.checkpoint(found.checkpoint)
        auditor.included(leaf_hash(wanted), found.proof.leaf_index, found.proof, size, root)
    unknown = auditor.request("ProveInclusion", leaf_hash=leaf_hash(b"nowhere"))
    refused(grpc.StatusCode.NOT_FOUND, prove, unknown)


def watch(auditor, work):
    """Reads WatchCheckpoints while `work` runs; every checkpoint is verified by the end."""
    call = auditor.stub.WatchCheckpoints(auditor.request("WatchCheckpoints"))
    heads, problems = [], []
    started = threading.Event()

    def follow():
        try:
            for message in call:
                heads.append(auditor.key.verify_checkpoint(message.checkpoint.note))
                started.set()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                problems.append(error)
        except rfc6962.Rejected as error:
            problems.append(error)
        started.set()

    follower = threading.Thread(target=follow)
    follower.start()
    started.wait()
    work(auditor)
    size = auditor.newest()[0]
    # The newest one reaches every watcher, whatever was skipped before.
    while not problems and heads[-1][0] < size:
        follower.join(0.01)
    call.cancel()
    follower.join()
    require(not problems, f"the watch ended: {problems}")
    sizes = [seen for seen, _ in heads]
    require(sizes == sorted(set(sizes)), "a checkpoint came twice or out of order")
    for seen, root in heads:
        require(auditor.seen.setdefault(seen, root) == root, f"two roots for size {seen}")


def interesting(size, random_source):
    """Numbers in [1, size] where trees change shape, and some at random."""
    edges = [power + step for power in (1, 2, 4, 8, 64, 256, 512, 65_536) for step in (-1, 0, 1)]
    return sorted({number for number in edges + [size - 1, size] if 1 <= number <= size}
                  | {random_source.randint(1, size) for _ in range(8)})


def proofs(auditor):
    """Inclusion, batch and consistency proofs between all interesting sizes."""
    size, root = auditor.read_back()
    stub, tree, draw = auditor.stub, auditor.tree, auditor.random
    numbers = interesting(size, draw)
    for at in numbers:
        for index in {0, at - 1, draw.randrange(at)}:
            answer = stub.ProveInclusion(auditor.request("ProveInclusion", leaf_index=index, tree_size=at))
            require(answer.leaf_hash == tree.leaves[index], "another leaf")
            auditor.checkpoint(answer.checkpoint)
            auditor.included(answer.leaf_hash, index, answer.proof, at, tree.root(at))
        indices = sorted({draw.randrange(at) for _ in range(draw.choice([1, 2, 9, 40]))})
        request = auditor.request("ProveInclusionBatch", leaf_indices=indices, tree_size=at)
        answer = stub.ProveInclusionBatch(request)
        leaves = [(index, tree.leaves[index]) for index in indices]
        require([leaf for _, leaf in leaves] == list(answer.leaf_hashes), "other leaves")
        auditor.batch_proven(leaves, at, tree.root(at), answer.hashes)
        for old in {at, draw.choice([number for number in numbers if number <= at])}:
            request = auditor.request("ProveConsistency", old_size=old, new_size=at)
            answer = stub.ProveConsistency(request)
            require((answer.old_size, answer.new_size) == (old, at), "other sizes")
            fields = {"old_size": old, "old_root": tree.root(old), "new_size": at, "new_root": tree.root(at)}
            forgeries = [{"new_root": leaf_hash(b"forged")}, {"old_root": leaf_hash(b"forged")}]
            auditor.probes.explore("consistency", forgeries, **fields, proof=list(answer.hashes))
    # Without a size, the newest checkpoint is what the proof is for.
    answer = stub.ProveInclusion(auditor.request("ProveInclusion", leaf_index=0))
    newest = auditor.checkpoint(answer.checkpoint)
    auditor.included(answer.leaf_hash, 0, answer.proof, *newest)


def entries(auditor):
    """Single entries and ranges agree with the tree that was verified."""
    size = auditor.newest()[0]
    for number in interesting(size, auditor.random):
        answer = auditor.stub.GetEntry(auditor.request("GetEntry", leaf_index=number - 1))
        hashes = {leaf_hash(answer.entry), answer.leaf_hash, auditor.tree.leaves[number - 1]}
        require(len(hashes) == 1, "another entry")
    for start, end in ((0, 0), (0, 1), (255, 257), (size, size), (max(size - 300, 0), size)):
        end = min(end, size)
        start = min(start, end)
        hashes = [leaf_hash(entry) for entry in auditor.read(start, end)]
        require(hashes == auditor.tree.leaves[start:end], f"other entries in [{start}, {end})")


def fill(auditor, goal):
    """Appends until the log holds more than `goal` entries, in the largest batches."""
    size = auditor.newest()[0]
    while size < goal:
        count = min(BATCH_ENTRIES_MAX, goal - size)
        auditor.append_batch([auditor.fresh(b"filler") for _ in range(count)], mutate=False)
        size = auditor.newest()[0]


def refusals(auditor):
    """What is asked wrongly is refused with the right code."""
    stub, size = auditor.stub, auditor.newest()[0]
    invalid, beyond = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE
    refused(invalid, stub.Append, auditor.request("Append"))
    refused(invalid, stub.Append, auditor.request("Append", entry=b"x" * 65_536))
    refused(invalid, stub.Append, auditor.request("Append", entry=b"x", idempotency_key=b"k" * 257))
    refused(beyond, stub.GetEntry, auditor.request("GetEntry", leaf_index=size + 100))
    request = auditor.request("ProveConsistency", old_size=1, new_size=size + 100)
    refused(beyond, stub.ProveConsistency, request)
    unknown = auditor.messages.AppendRequest(log="no.such/log", entry=b"x")
    refused(grpc.StatusCode.NOT_FOUND, stub.Append, unknown)


def main():
    """Runs everything and prints one line for each part."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--proto", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--vkey", required=True, action="append")
    parser.add_argument("--probes", required=True)
    parser.add_argument("--fill", type=int, default=0)
    parser.add_argument("--seed", type=int, default=6962)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    rfc6962.check_vectors()
    draw = random.Random(options.seed)
    probes = Probes(options.probes, draw)
    with tempfile.TemporaryDirectory() as out, grpc.insecure_channel(options.address) as channel:
        log, health, reflection = make_stubs(options.proto, out)
        check_standard_services(channel, log[0], health, reflection)
        plain, merging = [Auditor(channel, log, vkey, probes, draw) for vkey in options.vkey]
        listed = plain.stub.ListLogs(log[0].ListLogsRequest()).logs
        require([item.origin for item in listed] == [plain.log, merging.log], "other logs")
        require([list(item.vkeys) for item in listed] == [[vkey] for vkey in options.vkey], "other keys")
        require([item.identity for item in listed] == [1, 2], "other identities")
        # An empty name is the first log.
        note = plain.stub.GetCheckpoint(log[0].GetCheckpointRequest()).checkpoint.note
        plain.key.verify_checkpoint(note)

        def everything(auditor):
            appends(auditor)
            idempotency_keys(auditor)
            batches(auditor)
            stream(auditor)

        watch(plain, everything)
        watch(merging, entry_identity)
        fill(plain, options.fill)
        by_hash = plain.request("ProveInclusion", leaf_hash=leaf_hash(b"\x00"))
        refused(grpc.StatusCode.FAILED_PRECONDITION, plain.stub.ProveInclusion, by_hash)
        for auditor in (plain, merging):
            proofs(auditor)
            entries(auditor)
            refusals(auditor)
            size, _ = auditor.read_back()
            print(f"{auditor.log}: {size} entries, {len(auditor.seen)} checkpoints verified")
    probes.close()
    print(f"{probes.count} probes")


if __name__ == "__main__":
    main()
