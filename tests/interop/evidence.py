"""Evidence by the manual's page on formats alone: makes the vectors, and judges any file.

    evidence.py --check DIR     the vectors in DIR are what this script makes
    evidence.py --write DIR     writes them
    evidence.py --judge FILE POLICY

A vector is a JSON file with the evidence, a trust policy, and the verdict that a reader of both
has to come to: guilty, inconclusive, forged, or malformed. Each is judged here as well, by code
that shares nothing with what made it. Nothing but the standard library is needed.
"""

import base64
import hashlib
import json
import pathlib
import sys

from ed25519 import public_key, sign_ed25519, verify_ed25519

HEADER = "attestree-evidence@v1"
EM_DASH = "\u2014"
ORIGIN = "example.com/vector-log"
TIME = 1767139200


def b64(data):
    return base64.b64encode(data).decode()


# --- trees, by the recursive definitions of RFC 6962 ---


def split(size):
    return 1 << ((size - 1).bit_length() - 1)


def root(leaves):
    """MTH of leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    left = split(len(leaves))
    return hashlib.sha256(b"\x01" + root(leaves[:left]) + root(leaves[left:])).digest()


def subproof(old, leaves, known):
    if old == len(leaves):
        return [] if known else [root(leaves)]
    left = split(len(leaves))
    if old <= left:
        return [*subproof(old, leaves[:left], known), root(leaves[left:])]
    return [*subproof(old - left, leaves[left:], False), root(leaves[:left])]


def fold(old, new, known, proof):
    """Returns the old and the new root that a proof gives; `known` is the old root or None."""
    if old == new:
        if known is not None:
            return (known, known) if not proof else None
        return (proof[0], proof[0]) if len(proof) == 1 else None
    if not proof:
        return None
    left, rest, last = split(new), proof[:-1], proof[-1]
    node = lambda one, other: hashlib.sha256(b"\x01" + one + other).digest()
    if old <= left:
        roots = fold(old, left, known, rest)
        return roots and (roots[0], node(roots[1], last))
    roots = fold(old - left, new - left, None, rest)
    return roots and (node(last, roots[0]), node(last, roots[1]))


# --- keys and notes, by c2sp.org/signed-note ---


class Key:
    """A key from the SHA-256 of a phrase."""

    def __init__(self, name, phrase, algorithm=1):
        self.name, self.algorithm = name, algorithm
        self.seed = hashlib.sha256(phrase.encode()).digest()
        self.public = public_key(self.seed)
        self.id = key_id(name, algorithm, self.public)

    def vkey(self):
        return f"{self.name}+{self.id.hex()}+{b64(bytes([self.algorithm]) + self.public)}"

    def line(self, text):
        if self.algorithm == 4:
            signature = sign_ed25519(self.seed, cosigned(TIME, text))
            signature = TIME.to_bytes(8, "big") + signature
        else:
            signature = sign_ed25519(self.seed, text.encode())
        return f"{EM_DASH} {self.name} {b64(self.id + signature)}\n"


def key_id(name, algorithm, public):
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:4]


def cosigned(time, text):
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def checkpoint(leaves, *keys, origin=ORIGIN):
    text = f"{origin}\n{len(leaves)}\n{b64(root(leaves))}\n"
    return text + "\n" + "".join(key.line(text) for key in keys)


# --- the format ---


def evidence(older, newer, other_root=None, proof=()):
    kind = "kind same-size\n"
    if other_root is not None:
        kind = f"kind prefix\nroot {b64(other_root)}\n" + "".join(f"proof {b64(h)}\n" for h in proof)
    notes = "".join(f"note {len(note.encode())}\n{note}" for note in (older, newer))
    return f"{HEADER}\n{kind}{notes}"


class Malformed(Exception):
    """The bytes are no evidence."""


def want(condition):
    if not condition:
        raise Malformed


def number(text):
    want(text.isascii() and text.isdigit() and (text == "0" or text[0] != "0"))
    return int(text)


def hash_of(text):
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed from error
    want(len(value) == 32 and b64(value) == text)
    return value


def parse_note(note):
    want(note.endswith("\n") and "\n\n" in note)
    at = note.rindex("\n\n") + 1
    text, lines = note[:at], note[at + 1 :].splitlines()
    want(text.count("\n") == 3 and lines)
    origin, size, head = text.splitlines()
    signatures = []
    for line in lines:
        want(line.startswith(f"{EM_DASH} ") and line.count(" ") == 2)
        _, name, blob = line.split(" ")
        blob = base64.b64decode(blob)
        signatures.append((name, blob[:4], blob[4:]))
    return text, signatures, origin, number(size), hash_of(head)


def parse(data):
    lines = data.split(b"\n")
    want(len(lines) > 3 and lines[0] == HEADER.encode())
    kind, at = lines[1].decode(), len(HEADER) + 1 + len(lines[1]) + 1
    want(kind in ("kind same-size", "kind prefix"))
    other, proof, row = None, [], 2
    if kind == "kind prefix":
        want(lines[2].startswith(b"root "))
        other, at, row = hash_of(lines[2][5:].decode()), at + len(lines[2]) + 1, 3
        while lines[row].startswith(b"proof "):
            proof.append(hash_of(lines[row][6:].decode()))
            at, row = at + len(lines[row]) + 1, row + 1
        want(len(proof) <= 63)
    notes = []
    for _ in range(2):
        end = data.find(b"\n", at)
        want(end > 0 and data[at:].startswith(b"note "))
        length = number(data[at + 5 : end].decode())
        want(1 <= length <= 65536 and len(data) >= end + 1 + length)
        notes.append(parse_note(data[end + 1 : end + 1 + length].decode()))
        at = end + 1 + length
    want(at == len(data))
    return kind, other, proof, notes


# --- the verdict ---


def signed(note, name, public):
    """Whether a log's key has signed: True, False, or None where a line only claims so."""
    text, signatures, *_ = note
    mine = [sig for (n, i, sig) in signatures if (n, i) == (name, key_id(name, 1, public))]
    for signature in mine:
        try:
            verify_ed25519(public, text.encode(), signature)
        except ValueError:
            return None
    return bool(mine)


def judge(data, policy):
    try:
        kind, other, proof, notes = parse(data)
    except (Malformed, UnicodeDecodeError):
        return "malformed"
    (_, _, first_origin, m, first), (_, _, second_origin, n, second) = notes
    if first_origin != second_origin:
        return "inconclusive"
    words = [line.split() for line in policy.splitlines() if line.startswith("log ")]
    keys = [word[1].split("+", 2) for word in words]
    keys = [(name, base64.b64decode(key)[1:]) for name, _, key in keys if name == first_origin]
    said = [[signed(note, *key) for note in notes] for key in keys]
    if [True, True] not in said:
        return "forged" if any(None in one for one in said) else "inconclusive"
    if kind == "kind same-size":
        return "guilty" if m == n and first != second else "inconclusive"
    if not 0 < m < n:
        return "inconclusive"
    if fold(m, n, other, proof) != (other, second):
        return "forged"
    return "guilty" if other != first else "inconclusive"


# --- the vectors ---


def vectors():
    log = Key(ORIGIN, "tlog vector log key")
    former = Key(ORIGIN, "the log's former key")
    witness = Key("witness.example/vector", "tlog vector witness key", 4)
    leaves = [hashlib.sha256(b"\x00leaf %d" % at).digest() for at in range(9)]
    changed = list(leaves)
    changed[2] = hashlib.sha256(b"\x00changed").digest()
    policy = f"log {log.vkey()}\nwitness vector {witness.vkey()}\nquorum none\n"
    two = f"log {former.vkey()}\nlog {log.vkey()}\nquorum none\n"
    plain = lambda size, *keys: checkpoint(leaves[:size], *(keys or (log,)))
    other = lambda size, *keys: checkpoint(changed[:size], *(keys or (log,)))
    link = lambda m, n: (root(leaves[:m]), subproof(m, leaves[:n], True))
    same, prefix = evidence(other(5), plain(5)), evidence(other(3), plain(5), *link(3, 5))
    elsewhere = Key("example.com/other", "other")
    grease = f"{EM_DASH} {ORIGIN} {b64(bytes(68))}\n"
    spoiled = lambda note: note.replace(note[-10:-2], b64(bytes(6)))
    hashes = link(3, 5)[1]
    yield "same-size", "two roots of one size", same, policy, "guilty"
    yield "prefix", "a tree of 5 that begins with 3 other entries", prefix, policy, "guilty"
    yield "prefix-power-of-two", "no seed in the proof", evidence(
        other(4), plain(7), *link(4, 7)
    ), policy, "guilty"
    yield "prefix-no-witness-needed", "the quorum is of no concern", prefix, policy.replace(
        "quorum none", "quorum vector"
    ), "guilty"
    yield "witnessed", "a witness cosigned both", evidence(
        other(5, log, witness), plain(5, witness, log)
    ), policy, "guilty"
    yield "one-common-key", "two keys, of which one signed both", evidence(
        other(5, log), plain(5, former, log)
    ), two, "guilty"
    yield "greased", "a line under the log's name with another key id", evidence(
        other(5) + grease, plain(5) + grease
    ), policy, "guilty"
    yield "same-tree", "the same tree twice", evidence(plain(5), plain(5)), policy, "inconclusive"
    yield "continued", "the newer tree begins with the older one", evidence(
        plain(3), plain(5), *link(3, 5)
    ), policy, "inconclusive"
    yield "sizes", "two sizes and no proof", evidence(other(3), plain(5)), policy, "inconclusive"
    yield "newer-first", "the larger tree stands first", evidence(
        plain(5), other(3), *link(3, 5)
    ), policy, "inconclusive"
    yield "prefix-of-equal-size", "no smaller tree", evidence(
        other(5), plain(5), root(leaves[:5])
    ), policy, "inconclusive"
    yield "empty", "every tree begins with the empty one", evidence(
        plain(0), plain(5), root(leaves[:5])
    ), policy, "inconclusive"
    yield "two-logs", "checkpoints of two logs", evidence(
        checkpoint(changed[:5], elsewhere, origin=elsewhere.name), plain(5)
    ), policy + f"log {elsewhere.vkey()}\n", "inconclusive"
    yield "unknown-log", "the policy lists another log", same, (
        f"log {elsewhere.vkey()}\nquorum none\n"
    ), "inconclusive"
    yield "two-keys", "each checkpoint under another key of the log", evidence(
        other(5, former), plain(5)
    ), two, "inconclusive"
    yield "unsigned", "a key that the policy does not list", evidence(
        other(5, former), plain(5)
    ), policy, "inconclusive"
    yield "witness-alone", "a witness has signed, the log has not", evidence(
        other(5, witness), plain(5)
    ), policy, "inconclusive"
    yield "signature-first", "the first signature is made up", evidence(
        spoiled(other(5)), plain(5)
    ), policy, "forged"
    yield "signature-second", "the second signature is made up", evidence(
        other(5), spoiled(plain(5))
    ), policy, "forged"
    yield "root-changed", "the text is not the one that was signed", same.replace(
        b64(root(changed[:5])), b64(root(changed[:6]))
    ), policy, "forged"
    yield "proof-short", "a hash is missing", evidence(
        other(3), plain(5), root(leaves[:3]), hashes[:-1]
    ), policy, "forged"
    yield "proof-long", "a hash too many", evidence(
        other(3), plain(5), root(leaves[:3]), [*hashes, hashes[0]]
    ), policy, "forged"
    yield "proof-other-root", "the proof is for another root", evidence(
        other(3), plain(5), root(leaves[:4]), hashes
    ), policy, "forged"
    yield "proof-of-63", "the longest proof that is read", evidence(
        other(3), plain(5), root(leaves[:3]), hashes[:1] * 63
    ), policy, "forged"
    length = f"note {len(plain(5).encode())}\n"
    malformed = [
        ("header", "another version", same.replace("@v1", "@v2")),
        ("kind", "an unknown kind", same.replace("same-size", "rollback")),
        ("kind-missing", "no kind", same.replace("kind same-size\n", "")),
        ("root-in-same-size", "a root that is not called for", same.replace(
            "size\n", f"size\nroot {b64(leaves[0])}\n")),
        ("root-missing", "no root", prefix.replace(f"root {b64(root(leaves[:3]))}\n", "")),
        ("hash", "31 bytes", prefix.replace(b64(hashes[0]), b64(hashes[0][1:]))),
        ("hash-bits", "unused bits that are not zero", prefix.replace("w=\nproof", "x=\nproof")),
        ("proof-of-64", "longer than any proof", evidence(
            other(3), plain(5), root(leaves[:3]), hashes[:1] * 64)),
        ("length-missing", "no length", same.replace(length, "", 1)),
        ("length-zero", "an empty note", same.replace(length, "note 0\n", 1)),
        ("length-leading-zero", "a leading zero", same.replace("note ", "note 0", 1)),
        ("length-beyond", "longer than a note may be", same.replace(length, "note 65537\n", 1)),
        ("length-short", "one byte less", same.replace(length, f"note {len(plain(5).encode()) - 1}\n")),
        ("length-long", "one byte more at the end", same[: same.rindex("note ")] + (
            f"note {len(plain(5).encode()) + 1}\n" + plain(5))),
        ("truncated", "the end is missing", same[:-1]),
        ("one-note", "no second note", same[: same.rindex("note ")]),
        ("trailing", "something behind it", same + "\n"),
        ("carriage-return", "as on Windows", same.replace("\n", "\r\n")),
        ("no-checkpoint", "a note of two lines", evidence(
            "a\nb\n\n" + log.line("a\nb\n"), plain(5))),
        ("nothing", "no bytes at all", ""),
    ]
    for name, desc, text in malformed:
        yield f"malformed-{name}", desc, text, policy, "malformed"


def files():
    for name, desc, text, policy, verdict in vectors():
        found = judge(text.encode(), policy)
        assert found == verdict, f"{name}: judged {found}, made as {verdict}"
        value = {"desc": desc, "evidence": text, "policy": policy, "verdict": verdict}
        yield f"{name}.json", json.dumps(value, indent=2) + "\n"


def main(arguments):
    match arguments:
        case ["--check", folder]:
            made = dict(files())
            found = {path.name: path.read_text() for path in pathlib.Path(folder).iterdir()}
            wrong = [name for name in made.keys() | found.keys() if made.get(name) != found.get(name)]
            assert not wrong, f"these vectors are not what is made here: {sorted(wrong)}"
            print(f"{len(made)} vectors are as they were made")
        case ["--write", folder]:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            for name, text in files():
                pathlib.Path(folder, name).write_text(text)
        case ["--judge", file, policy]:
            print(judge(pathlib.Path(file).read_bytes(), pathlib.Path(policy).read_text()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
