"""Reads a log as static tiles, appends over plain HTTP and exchanges receipts with the CLI.

Standard library only, with an Ed25519 of its own, and nothing shared with `rfc6962.py`: proofs are verified by
the loops of RFC 9162, section 2.1.3 and 2.1.4, and roots are built from the leaves upwards.

usage: http_client.py --url http://HOST:PORT --attestree BINARY --work DIR --vkey VKEY...
"""

import argparse
import base64
import concurrent.futures
import gzip
import hashlib
import pathlib
import random
import subprocess
import urllib.error
import urllib.request

from ed25519 import verify_ed25519

WIDTH = 256
APPENDS = 700
WRITERS = 8


class Wrong(Exception):
    """The log did something that it must not do."""


def want(condition, reason):
    """Raises `Wrong` unless the condition holds."""
    if not condition:
        raise Wrong(reason)


def hash_leaf(entry):
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + entry).digest()


def hash_node(left, right):
    """The hash of two nodes."""
    return hashlib.sha256(b"\1" + left + right).digest()


def fold(hashes):
    """The root over `hashes`, by pairing neighbours and promoting an odd last one."""
    while len(hashes) > 1:
        pairs = [hash_node(*hashes[i:i + 2]) for i in range(0, len(hashes) - 1, 2)]
        hashes = pairs + hashes[len(hashes) & ~1:]
    return hashes[0] if hashes else hashlib.sha256(b"").digest()


def check_inclusion(index, size, leaf, path, root):
    """RFC 9162, section 2.1.3.2."""
    want(0 <= index < size, "index outside the tree")
    at, last, value = index, size - 1, leaf
    for sibling in path:
        want(last and len(sibling) == 32, "path too long or malformed")
        if at & 1 or at == last:
            value = hash_node(sibling, value)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            value = hash_node(value, sibling)
        at, last = at >> 1, last >> 1
    want(last == 0 and value == root, "the path does not lead to the root")


def decode(text, length):
    """Standard base64 of exactly `length` bytes."""
    value = base64.b64decode(text, validate=True)
    want(len(value) == length, "wrong length")
    return value


class Key:
    """A log's verifier key."""

    def __init__(self, vkey):
        self.vkey = vkey
        self.origin, self.hint, blob = vkey.split("+", 2)
        blob = decode(blob, 33)
        want(blob[0] == 1, "not an Ed25519 log key")
        identity = hashlib.sha256(self.origin.encode() + b"\n" + blob).hexdigest()[:8]
        want(identity == self.hint, "the key id is of another key")
        self._public = blob[1:]
        # One verification takes a tenth of a second here, and most notes are fetched often.
        self._opened = {}

    def open(self, note):
        """Returns (size, root) of a signed checkpoint of this log."""
        if note in self._opened:
            return self._opened[note]
        text, lines = note.decode().rsplit("\n\n", 1)
        text += "\n"
        *lines, rest = lines.split("\n")
        signatures = [line.split(" ") for line in lines]
        want(rest == "" and all(dash == "\u2014" for dash, _, _ in signatures), "not signature lines")
        blobs = [blob for _, name, blob in signatures if name == self.origin]
        own = [base64.b64decode(blob, validate=True) for blob in blobs]
        own = [blob[4:] for blob in own if blob[:4].hex() == self.hint]
        want(own, "not signed by the log")
        for signature in own:
            verify_ed25519(self._public, text.encode(), signature)
        origin, size, root, rest = text.split("\n")
        want(origin == self.origin and rest == "", "a checkpoint of another log")
        want(size.isdecimal() and str(int(size)) == size, "size not canonical")
        self._opened[note] = int(size), decode(root, 32)
        return self._opened[note]

    def open_receipt(self, receipt, entry):
        """Returns the index that a receipt proves for `entry`."""
        lines, note = receipt.decode().split("\n\n", 1)
        header, *lines = lines.split("\n")
        want(header == "c2sp.org/tlog-proof@v1", "not a receipt")
        if lines[0].startswith("extra "):
            lines = lines[1:]
        word, index = lines[0].split(" ")
        want(word == "index" and str(int(index)) == index, "no index")
        size, root = self.open(note.encode())
        path = [decode(line, 32) for line in lines[1:]]
        check_inclusion(int(index), size, hash_leaf(entry), path, root)
        return int(index)


def resource_path(kind, index, width):
    """The path of a tile or bundle: groups of three digits, all but the last behind an x."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return f"/tile/{kind}/" + "/".join(groups) + (f".p/{width}" if width < WIDTH else "")


class Site:
    """The static face of one log below one URL."""

    def __init__(self, url, key):
        self.url = url
        self.key = key
        self.seen = {}

    def call(self, path, body=None, **headers):
        """Returns (status, headers, body) whatever the status is."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data=body, headers=names)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def get(self, path, content_type):
        """Fetches a path plainly and compressed and requires the same bytes; returns (headers, body)."""
        status, headers, body = self.call(path, Accept_Encoding="identity")
        want(status == 200, f"{path}: {status}: {body[:200]}")
        want(headers["Content-Type"] == content_type, f"{path}: {headers['Content-Type']}")
        want(headers["Content-Encoding"] in (None, "identity"), f"{path}: not plain")
        return headers, body

    def checkpoint(self):
        """Fetches and verifies the checkpoint; returns (size, root)."""
        headers, note = self.get("/checkpoint", "text/plain; charset=utf-8")
        cache = headers["Cache-Control"] or ""
        want("immutable" not in cache, "a checkpoint that is cached for ever")
        size, root = self.key.open(note)
        want(self.seen.setdefault(size, root) == root, f"two roots for size {size}")
        return size, root

    def resource(self, kind, index, width):
        """Fetches a tile or bundle, plain and by gzip."""
        path = resource_path(kind, index, width)
        headers, body = self.get(path, "application/octet-stream")
        want("immutable" in (headers["Cache-Control"] or ""), f"{path}: not immutable")
        status, headers, packed = self.call(path, Accept_Encoding="gzip")
        want(status == 200, f"{path}: {status} by gzip")
        if headers["Content-Encoding"] == "gzip":
            want("accept-encoding" in (headers["Vary"] or "").lower(), f"{path}: gzip without Vary")
            packed = gzip.decompress(packed)
        want(packed == body, f"{path}: differs by gzip")
        return body

    def hashes(self, level, index, width):
        """The hashes of one tile."""
        body = self.resource(str(level), index, width)
        want(len(body) == 32 * width, f"tile {level}/{index} is not {width} wide")
        return [body[at:at + 32] for at in range(0, len(body), 32)]

    def bundle(self, index, width):
        """The entries of one bundle."""
        body, entries = self.resource("entries", index, width), []
        while body:
            length = int.from_bytes(body[:2], "big")
            want(0 < length <= len(body) - 2, "a bundle cut short")
            entries.append(body[2:2 + length])
            body = body[2 + length:]
        want(len(entries) == width, f"bundle {index} is not {width} wide")
        return entries


def widths(count):
    """(index, width) of the tiles that hold `count` hashes."""
    full, rest = divmod(count, WIDTH)
    return [(index, WIDTH) for index in range(full)] + ([(full, rest)] if rest else [])


class Copy:
    """Everything that a log serves at one size, verified on the way in."""

    def __init__(self, site, size, root):
        self.size = size
        self.entries, self.levels = [], [[]]
        for index, width in widths(size):
            bundle, tile = site.bundle(index, width), site.hashes(0, index, width)
            want([hash_leaf(entry) for entry in bundle] == tile, f"bundle {index} is not of its tile")
            self.entries += bundle
            self.levels[0] += tile
        while len(below := self.levels[-1]) >= WIDTH:
            level = len(self.levels)
            tiles = [site.hashes(level, *tile) for tile in widths(len(below) // WIDTH)]
            self.levels.append([value for tile in tiles for value in tile])
            roots = [fold(below[at:at + WIDTH]) for at in range(0, len(below) - WIDTH + 1, WIDTH)]
            want(self.levels[-1] == roots, f"level {level} is not of the tiles below")
        want(fold(self.levels[0]) == root, "the root is not of these entries")

    def node(self, level, index):
        """The hash of a perfect subtree, from the tile that holds it."""
        hashes, height = self.levels[level // 8], level % 8
        return fold(hashes[index << height:(index + 1) << height])

    def span(self, start, level, size):
        """The hash of [start, size), which lies below one node of `level`."""
        parts = []
        while start < size:
            while start + (1 << level) > size:
                level -= 1
            parts.append(self.node(level, start >> level))
            start += 1 << level
        value = parts.pop()
        while parts:
            value = hash_node(parts.pop(), value)
        return value

    def path(self, index, size):
        """The inclusion path of a leaf, read from tiles."""
        hashes, at, last, level = [], index, size - 1, 0
        while last:
            sibling = at ^ 1
            if sibling < last:
                hashes.append(self.node(level, sibling))
            elif sibling == last:
                hashes.append(self.span(sibling << level, level, size))
            at, last, level = at >> 1, last >> 1, level + 1
        return hashes


def check_appends(site, draw):
    """Appends from several writers; each index is covered by the checkpoint that follows."""
    size, _ = site.checkpoint()

    def append(number):
        entry = draw_bytes[number]
        status, headers, body = site.call("/add", entry, Content_Type="application/octet-stream")
        want(status == 200, f"/add: {status}: {body[:200]}")
        want(headers["Content-Type"].startswith("text/plain"), "the index is not plain text")
        index = int(body.decode("ascii"))
        want(body.strip() == str(index).encode(), f"not an index: {body[:40]}")
        covered, _ = site.checkpoint() if number % 20 == 0 else (index + 1, None)
        want(index < covered, "answered before it was covered")
        return index, entry

    draw_bytes = [b"http %d " % number + draw.randbytes(number % 50) for number in range(APPENDS)]
    draw_bytes[1] = bytes(65_535)
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        placed = dict(pool.map(append, range(APPENDS)))
    want(sorted(placed) == list(range(size, size + APPENDS)), "indices with gaps or twice")
    for bad, wanted in ((b"", 400), (bytes(65_536), 413)):
        status, _, body = site.call("/add", bad, Content_Type="application/octet-stream")
        want(status == wanted and body.strip(), f"/add of {len(bad)} bytes: {status}")
    want(site.checkpoint()[0] == size + APPENDS, "a refused entry grew the log")
    return placed


def check_conditions(site):
    """A client that has the newest version is told so, and one that has not gets it."""
    for path in ("/checkpoint", resource_path("0", 0, WIDTH)):
        _, headers, body = site.call(path)
        tag = headers["ETag"]
        want(tag, f"{path}: no ETag")
        status, headers, rest = site.call(path, If_None_Match=tag)
        want((status, rest) == (304, b""), f"{path}: {status} though unchanged")
        want(headers["ETag"] == tag, f"{path}: 304 with another ETag")
        for other in ('"other"', f'"other", {tag}x'):
            status, _, again = site.call(path, If_None_Match=other)
            want((status, again) == (200, body), f"{path}: {status} for another ETag")
        want(site.call(path, If_None_Match="*")[0] == 304, f"{path}: no 304 for *")
    _, headers, _ = site.call("/checkpoint")
    want(site.call("/add", b"one more")[0] == 200, "/add")
    status, _, _ = site.call("/checkpoint", If_None_Match=headers["ETag"])
    want(status == 200, "an old checkpoint passed for the newest")


def check_partials(site, copy):
    """Every size that was published can be read from tiles of exactly that size."""
    for size in sorted(site.seen):
        count, level = size, 0
        while count:
            index, width = divmod(count, WIDTH)
            # Once the full tile exists, the partial one may go.
            growing = index == len(copy.levels[level]) // WIDTH if level < len(copy.levels) else True
            if width and growing:
                want(site.hashes(level, index, width) == copy.levels[level][index * WIDTH:][:width],
                     f"partial tile {level}/{index}.p/{width} differs")
                if level == 0:
                    want(site.bundle(index, width) == copy.entries[index * WIDTH:][:width], "bundle differs")
            count, level = index, level + 1
        want(fold(copy.levels[0][:size]) == site.seen[size], f"the root of size {size} differs")


def check_absent(site, size):
    """What is not in the log, or not a canonical path, is not found."""
    full = size // WIDTH
    absent = [
        resource_path("0", full + 1, WIDTH), resource_path("entries", full + 1, WIDTH),
        resource_path("entries", full, WIDTH), resource_path("9", 0, 1), resource_path("64", 0, 1),
        "/tile/00/000", "/tile/0/0", "/tile/0/0000", "/tile/0/x000/000", "/tile/0/001/000", "/tile/0/000.p/0",
        "/tile/0/000.p/256", "/tile/0/000.p/01", "/tile/0/000.p/", "/tile/0/", "/tile/0", "/tile/-1/000",
        "/tile/0/x1/000", "/tile/entries", "/tile/data/000", "/tile/0/000/", "/tile/0/%30%30%30x",
        "/checkpoint/",
    ]
    for path in absent:
        status, _, _ = site.call(path)
        want(status in (400, 404), f"{path}: {status}")


class Cli:
    """Our own tool, which has to come to the same verdicts."""

    def __init__(self, binary, server, work):
        self.binary = binary
        self.server = server
        self.work = pathlib.Path(work)

    def run(self, *arguments):
        """Returns the exit code and what was printed."""
        command = [self.binary, *map(str, arguments)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def receipt(self, origin, index):
        """Lets the tool write a receipt."""
        path = self.work / f"{index}.tlog-proof"
        path.unlink(missing_ok=True)
        code, out = self.run("receipt", index, "-o", path, "--server", self.server, "--log", origin)
        want(code == 0, f"receipt {index}: {code}: {out}")
        return path.read_bytes()

    def verify(self, receipt, entry, vkey):
        """Lets the tool verify a receipt; returns the exit code."""
        proof, leaf, policy = (self.work / name for name in ("receipt", "entry", "policy"))
        proof.write_bytes(receipt)
        leaf.write_bytes(entry)
        policy.write_text(f"log {vkey}\nquorum none\n")
        return self.run("verify", proof, "--entry", leaf, "--trust", policy)


def forged(receipt, draw):
    """Receipts near an honest one, none of which may verify; (description, bytes)."""
    lines = receipt.split(b"\n")
    blank = lines.index(b"")
    index = int(lines[1].split(b" ")[1])
    joined = b"\n".join
    yield "next index", joined([lines[0], b"index %d" % (index + 1), *lines[2:]])
    yield "padded index", joined([lines[0], b"index 0%d" % index, *lines[2:]])
    yield "another version", joined([lines[0].replace(b"@v1", b"@v2"), *lines[1:]])
    junk = base64.b64encode(draw.randbytes(32))
    yield "a hash more", joined([*lines[:blank], junk, *lines[blank:]])
    if blank > 2:
        yield "a hash less", joined([*lines[:2], *lines[3:]])
        yield "another hash", joined([*lines[:2], junk, *lines[3:]])
        yield "a short hash", joined([*lines[:2], base64.b64encode(b"short"), *lines[3:]])
    size = b"%d" % (int(lines[blank + 2]) + 1)
    yield "another size", joined([*lines[:blank + 2], size, *lines[blank + 3:]])
    yield "another root", joined([*lines[:blank + 3], junk, *lines[blank + 4:]])
    yield "another origin", joined([*lines[:blank + 1], b"example.com/other", *lines[blank + 2:]])
    signature = lines[-2]
    flipped = bytearray(base64.b64decode(signature.split(b" ")[2]))
    flipped[4 + draw.randrange(64)] ^= 1 << draw.randrange(8)
    changed = signature.rsplit(b" ", 1)[0] + b" " + base64.b64encode(bytes(flipped))
    yield "another signature", joined([*lines[:-2], changed, b""])
    yield "no signature", joined([*lines[:-2], b""])
    yield "cut short", receipt[:-1]
    yield "trailing bytes", receipt + b"x"


def check_receipts(site, copy, note, cli, draw):
    """Receipts pass both ways, and forgeries fail both ways; returns how many were judged."""
    size, judged = copy.size, 0
    indices = {0, WIDTH - 1, size - 1} | {draw.randrange(size) for _ in range(2)}
    for index in sorted(number for number in indices if number < size):
        entry = copy.entries[index]
        theirs = cli.receipt(site.key.origin, index)
        want(site.key.open_receipt(theirs, entry) == index, "a receipt for another index")
        path = b"".join(base64.b64encode(value) + b"\n" for value in copy.path(index, size))
        ours = b"c2sp.org/tlog-proof@v1\nindex %d\n" % index + path + b"\n" + note
        for receipt in (theirs, ours):
            code, out = cli.verify(receipt, entry, site.key.vkey)
            want(code == 0, f"an honest receipt of {index} was rejected: {out}")
        other = copy.entries[index ^ 1 if index ^ 1 < size else 0] + b"?"
        cases = [("another entry", ours, other)]
        cases += [(what, receipt, entry) for what, receipt in forged(ours, draw)]
        for what, receipt, leaf in cases:
            try:
                site.key.open_receipt(receipt, leaf)
                raise AssertionError(f"our own verifier took a forgery: {what}")
            except (Wrong, ValueError):
                pass
            code, out = cli.verify(receipt, leaf, site.key.vkey)
            want(code == 2, f"verify of a forgery ({what}) exited with {code}: {out}")
            judged += 1
    stranger = "example.com/vector-log+5853a898+AdNnO/eaYELmpXi5YKlhnnDBvHrRrmiMyjRbjNUdQ370"
    code, out = cli.verify(ours, entry, stranger)
    want(code == 2, f"a receipt of an untrusted log exited with {code}: {out}")
    return judged


def main():
    """Runs everything and prints one line for each log."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--url", required=True)
    parser.add_argument("--attestree", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--vkey", required=True, action="append")
    parser.add_argument("--seed", type=int, default=6962)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    draw = random.Random(options.seed)
    cli = Cli(options.attestree, options.url, options.work)
    for position, vkey in enumerate(options.vkey):
        key = Key(vkey)
        _, _, prefix = key.origin.partition("/")
        site = Site(f"{options.url}/{prefix}".rstrip("/"), key)
        placed = check_appends(site, draw)
        check_conditions(site)
        size, root = site.checkpoint()
        _, _, note = site.call("/checkpoint")
        copy = Copy(site, size, root)
        for index, entry in placed.items():
            want(copy.entries[index] == entry, f"the entry at {index} is another one")
        check_partials(site, copy)
        check_absent(site, size)
        if position == 0:
            top = Site(options.url, key)
            want(top.checkpoint() == (size, root), "the first log is not at the root of the server")
        judged = check_receipts(site, copy, note, cli, draw)
        print(f"{key.origin}: {size} entries, {len(site.seen)} sizes, {judged} forgeries judged")


if __name__ == "__main__":
    main()
