"""What a receipt proves, written from the specifications alone.

Everything here follows the recursive definitions (RFC 6962, section 2.1), so that it shares no
shape with the loops it is compared with. `http_client.py` has a second, iterative version and
imports nothing from here.
"""

import base64
import hashlib
import random

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

EM_DASH = "\u2014"
RECEIPT_HEADER = "c2sp.org/tlog-proof@v1"


class Rejected(Exception):
    """Something did not verify."""


def require(condition, reason):
    """Raises `Rejected` unless the condition holds."""
    if not condition:
        raise Rejected(reason)


def leaf_hash(entry):
    """SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left, right):
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size):
    """The largest power of two strictly below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


class Tree:
    """All leaf hashes of a log, able to give the root at any size."""

    def __init__(self):
        self.leaves = []
        # Hashes of perfect subtrees by (first leaf, size): they never change.
        self._perfect = {}

    def root(self, size):
        """MTH(D[0:size])."""
        if size == 0:
            return hashlib.sha256(b"").digest()
        return self._range(0, size)

    def _range(self, start, size):
        if size == 1:
            return self.leaves[start]
        perfect = size & (size - 1) == 0
        if perfect and (start, size) in self._perfect:
            return self._perfect[start, size]
        left = split(size)
        value = node_hash(self._range(start, left), self._range(start + left, size - left))
        if perfect:
            self._perfect[start, size] = value
        return value


def _path_root(index, size, leaf, path):
    if size == 1:
        require(not path, "hashes left over")
        return leaf
    require(path, "hashes missing")
    left = split(size)
    if index < left:
        return node_hash(_path_root(index, left, leaf, path[:-1]), path[-1])
    return node_hash(path[-1], _path_root(index - left, size - left, leaf, path[:-1]))


def _require_hashes(hashes):
    require(all(len(value) == 32 for value in hashes), "a hash that is not 32 bytes")


def verify_inclusion(leaf, index, size, root, proof):
    """RFC 6962, section 2.1.1, read backwards."""
    _require_hashes([leaf, root, *proof])
    require(0 <= index < size, "index outside the tree")
    require(_path_root(index, size, leaf, list(proof)) == root, "root differs")


def _subproof(old, new, known, proof):
    """Returns the old and the new root of this subtree; `known` is the old root or None."""
    if old == new:
        if known is not None:
            require(not proof, "hashes left over")
            return known, known
        require(len(proof) == 1, "wrong number of hashes")
        return proof[0], proof[0]
    require(proof, "hashes missing")
    left, (rest, last) = split(new), (proof[:-1], proof[-1])
    if old <= left:
        old_root, new_root = _subproof(old, left, known, rest)
        return old_root, node_hash(new_root, last)
    old_root, new_root = _subproof(old - left, new - left, None, rest)
    return node_hash(last, old_root), node_hash(last, new_root)


def verify_consistency(old_size, old_root, new_size, new_root, proof):
    """RFC 6962, section 2.1.2, read backwards."""
    _require_hashes([old_root, new_root, *proof])
    require(0 < old_size <= new_size, "sizes out of order")
    roots = _subproof(old_size, new_size, old_root, list(proof))
    require(roots == (old_root, new_root), "root differs")


def verify_range(leaves, start, size, root, proof):
    """Folds `leaves`, which stand at [start, start + len), with the perfect subtrees around them."""
    _require_hashes([root, *leaves, *proof])
    end = start + len(leaves)
    require(leaves and end <= size, "range outside the tree")
    hashes = iter(proof)

    def fold(first, width):
        outside = first + width <= start or end <= first
        if outside and width & (width - 1) == 0:
            value = next(hashes, None)
            require(value is not None, "hashes missing")
            return value
        if width == 1:
            return leaves[first - start]
        left = split(width)
        left_hash = fold(first, left)
        return node_hash(left_hash, fold(first + left, width - left))

    require(fold(0, size) == root, "root differs")
    require(next(hashes, None) is None, "hashes left over")


def verify_batch(leaves, size, root, proof):
    """Multi-proof of (index, hash) pairs: layers from the leaves up, left to right in each."""
    _require_hashes([root, *proof, *(leaf for _, leaf in leaves)])
    indices = [index for index, _ in leaves]
    require(indices and indices == sorted(set(indices)), "indices not strictly increasing")
    require(0 <= indices[0] and indices[-1] < size, "index outside the tree")
    known, width, hashes = dict(leaves), size, iter(proof)
    while width > 1:
        above = {}
        for parent in sorted({index // 2 for index in known}):
            left, right = 2 * parent, 2 * parent + 1
            if right >= width:
                above[parent] = known[left]
                continue
            # At most one of the two is missing, and it is the next hash of the proof.
            for child in (left, right):
                if child not in known:
                    known[child] = next(hashes, None)
                    require(known[child] is not None, "hashes missing")
            above[parent] = node_hash(known[left], known[right])
        known, width = above, (width + 1) // 2
    require(known == {0: root}, "root differs")
    require(next(hashes, None) is None, "hashes left over")


class VerifierKey:
    """A C2SP signed-note verifier key of algorithm 0x01."""

    def __init__(self, vkey):
        self.name, key_id, blob = vkey.split("+", 2)
        blob = base64.b64decode(blob, validate=True)
        require(len(blob) == 33 and blob[0] == 0x01, "not an Ed25519 log key")
        self.id = hashlib.sha256(self.name.encode() + b"\n" + blob).digest()[:4]
        require(self.id.hex() == key_id, "key id differs")
        self._key = Ed25519PublicKey.from_public_bytes(blob[1:])

    def verify_note(self, note):
        """Returns the text of a note which this key signed."""
        text, separator, lines = note.decode().rpartition("\n\n")
        require(separator and lines.endswith("\n"), "not a note")
        text += "\n"
        verified = False
        for line in lines[:-1].split("\n"):
            dash, name, blob = line.split(" ")
            require(dash == EM_DASH, "not a signature line")
            blob = base64.b64decode(blob, validate=True)
            if (name, blob[:4]) == (self.name, self.id):
                try:
                    self._key.verify(blob[4:], text.encode())
                except InvalidSignature as error:
                    raise Rejected("bad signature") from error
                verified = True
        require(verified, "no signature by the log's key")
        return text

    def verify_checkpoint(self, note):
        """Returns (size, root) of a checkpoint which this key signed for its own origin."""
        origin, size, root, *rest = self.verify_note(note).split("\n")
        require(origin == self.name, "another origin")
        require(rest == [""], "extension lines")
        require(size == str(int(size)) and int(size) >= 0, "size not canonical")
        root = base64.b64decode(root, validate=True)
        require(len(root) == 32, "root is not 32 bytes")
        return int(size), root

    def verify_receipt(self, receipt, entry):
        """Returns (index, size) of a C2SP tlog-proof for `entry`."""
        head, separator, note = receipt.partition(b"\n\n")
        require(separator, "no checkpoint")
        lines = head.decode("ascii").split("\n")
        require(lines.pop(0) == RECEIPT_HEADER, "not a receipt")
        if lines and lines[0].startswith("extra "):
            lines.pop(0)
        word, _, index = lines.pop(0).partition(" ")
        require(word == "index" and index == str(int(index)), "no index")
        size, root = self.verify_checkpoint(note)
        proof = [base64.b64decode(line, validate=True) for line in lines]
        verify_inclusion(leaf_hash(entry), int(index), size, root, proof)
        return int(index), size


def check_vectors():
    """Holds this file against published trees before it judges anyone else's."""
    tree = Tree()
    tree.leaves = [leaf_hash(b"leaf %d" % index) for index in range(300)]
    published = {
        1: "G7l9zCFjXUfiZj79/QoXRobZjdcBNS3SzQbotD/T0wU=",
        5: "NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=",
        256: "z17/2xHQknou31Ow5zx4N/ZZQU4AU32l2Q61xMSf8nQ=",
        300: "56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=",
    }
    for size, root in published.items():
        require(tree.root(size) == base64.b64decode(root), f"root of size {size}")
    shared = [
        "WL0UluFoSqySAcLmh+565PUclqiw2B7zWDYouT0800U=",
        "/F9riP+FVPdbsvnm85wxsZNtRLaSdu33sSBalVuXYeM=",
        "gxFfiUeVX6/cKifn9MCFS72Nonuxs+NAXbVxya+Nvho=",
    ]
    shared = [base64.b64decode(value) for value in shared]
    verify_inclusion(tree.leaves[2], 2, 5, tree.root(5), shared)
    verify_consistency(3, tree.root(3), 5, tree.root(5), [tree.leaves[2], *shared])


def accepts(verify, *arguments):
    """Whether a verification passes."""
    try:
        verify(*arguments)
    except (Rejected, ValueError):
        return False
    return True


def damaged(hashes, random_source: random.Random):
    """Lists of hashes near `hashes`, none of which may verify in its place."""
    junk = random_source.randbytes(32)
    yield [*hashes, junk]
    yield [junk, *hashes]
    if hashes:
        position = random_source.randrange(len(hashes))
        value = bytearray(hashes[position])
        value[random_source.randrange(32)] ^= 1 << random_source.randrange(8)
        yield [*hashes[:position], bytes(value), *hashes[position + 1:]]
        yield [*hashes[:position], *hashes[position + 1:]]
        yield [*hashes, hashes[-1]]
        yield [*hashes[:position], hashes[position][:31], *hashes[position + 1:]]
    if hashes != hashes[::-1]:
        yield hashes[::-1]
