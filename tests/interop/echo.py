"""Checks that the record of an event holds what was submitted, written from src/manual/records.md alone.

Nothing but the standard library is needed. Every member that was submitted stands in the record with the same
value, or the commitment there opens to it with the salt that the log handed out, or `red` names what was done
to it; and nothing else stands there but what the server makes.
"""

import base64
import hashlib
import json
import struct

# What the server makes in every record of an event.
SERVER = {"v", "t", "id", "at", "pv", "vd", "vr", "red", "source"}
SHOWN = {"accept", "warn"}
HIDDEN = {"quarantine", "error"}
MISSING = object()


class Changed(Exception):
    """The record is not what was submitted."""


def require(condition, reason):
    """Refuses the record unless the condition holds."""
    if not condition:
        raise Changed(reason)


def unique(pairs):
    """Makes an object, in which no name may occur twice."""
    members = dict(pairs)
    require(len(members) == len(pairs), "a name occurs twice")
    return members


def number(value):
    """The text of a number as JavaScript writes it (RFC 8785, section 3.2.2.3)."""
    if isinstance(value, int):
        return str(value)
    if value == int(value) and abs(value) < 10**21:
        return str(int(value))
    digits, _, exponent = repr(value).partition("e")
    if exponent:
        return f"{digits.removesuffix('.0')}e{int(exponent):+d}"
    return digits


def jcs(value):
    """The canonical text (RFC 8785)."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(jcs(name) + ":" + jcs(value[name]) for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    if isinstance(value, str):
        named = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
        escaped = (named.get(ord(one)) or (f"\\u{ord(one):04x}" if ord(one) < 32 else one) for one in value)
        return '"' + "".join(escaped) + '"'
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return number(value)


def commitment(path, salt, value):
    """What stands in a record in the place of a value."""
    path = path.encode()
    parts = [b"\x02\x01", struct.pack(">H", len(path)), path, salt, struct.pack(">I", len(value)), value]
    return base64.urlsafe_b64encode(hashlib.sha256(b"".join(parts)).digest()).rstrip(b"=").decode()


def step(path, name):
    """The pointer one step down (RFC 6901)."""
    return f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}"


def find(value, path):
    """What stands at a pointer, or MISSING."""
    for name in path.split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return MISSING
    return value


def made(path):
    """Whether the server makes what stands at a pointer."""
    return path == "/ctx/enriched" or path.startswith("/ctx/enriched/")


class Echo:
    """One record beside what was submitted."""

    def __init__(self, submitted, record, openings):
        self.submitted = submitted
        self.record = record
        self.red = {path: action for path, action in record.get("red", [])}
        self.openings = dict(openings)
        require(len(self.openings) == len(openings), "a place is opened twice")

    def check(self):
        """Checks everything."""
        if self.record["vd"] in HIDDEN:
            require(set(self.record["ctx"]) - {"raw"} == set(), "what is hidden shows something")
            require(set(self.record) <= SERVER | {"ctx", "class"}, "what is hidden shows something")
            require(self.record.get("class", "unparsed") == "unparsed", "what is hidden shows its class")
            self.open("/ctx/raw", self.record["ctx"]["raw"], self.submitted)
        else:
            expected = self.expected()
            recorded = {name: self.record[name] for name in self.record if name not in SERVER}
            if "class" not in expected:
                recorded.pop("class", None)
            if "ctx" in recorded:
                expected.setdefault("ctx", {})
            self.value("", expected, recorded)
            for path in self.red:
                require(made(path) or find(expected, path) is not MISSING, f"{path} never was")
        require(not self.openings, f"{list(self.openings)} opens nothing")

    def expected(self):
        """What a record shows of the event if nothing of it is hidden."""
        expected = json.loads(self.submitted, object_pairs_hook=unique)
        require(isinstance(expected, dict) and not set(expected) & (SERVER - {"source"}), "no event")
        if "source" in expected:
            expected["ctx"] = {**expected.get("ctx", {}), "claimed_source": expected.pop("source")}
        return expected

    def open(self, path, form, submitted):
        """Opens a commitment with what was handed out, and returns the value."""
        require(path in self.openings, f"{path} can't be opened")
        salt, value = self.openings.pop(path)
        value = submitted if value is None else value
        require(len(salt) == 32 and form == {"$c": commitment(path, salt, value)}, f"{path} does not open")
        if path == "/ctx/raw" and self.record["vd"] in HIDDEN:
            require(value == submitted, f"{path} opens to something else")
        return value

    def value(self, path, expected, recorded):
        """Compares what was submitted at a place with what was recorded there."""
        if isinstance(recorded, dict) and set(recorded) == {"$c"}:
            value = self.open(path, recorded, jcs(expected).encode())
            if value != jcs(expected).encode():
                self.value(path, expected, json.loads(value, object_pairs_hook=unique))
        elif isinstance(recorded, dict) and set(recorded) == {"$t"}:
            require(self.red.get(path) == "token", f"{path} is a token that nothing names")
        elif isinstance(expected, dict) and isinstance(recorded, dict):
            self.members(path, expected, recorded)
        elif isinstance(expected, list) and isinstance(recorded, list) and len(expected) == len(recorded):
            for position, pair in enumerate(zip(expected, recorded, strict=True)):
                self.value(step(path, position), *pair)
        elif type(expected) is bool or type(recorded) is bool or expected != recorded:
            named = (self.red.get(path) == "mask" and isinstance(recorded, str)
                     or self.red.get(path) == "drop" and recorded is None)
            require(named or expected is recorded, f"{path} was changed")

    def members(self, path, expected, recorded):
        """Compares two objects."""
        for name, value in expected.items():
            place = step(path, name)
            if name in recorded:
                self.value(place, value, recorded[name])
            else:
                require(self.red.get(place) == "drop", f"{place} is missing")
        for name in set(recorded) - set(expected):
            place = step(path, name)
            require(made(place), f"{place} was added")
            self.added(place, recorded[name])

    def added(self, path, recorded):
        """Opens what the server has hidden of what it added."""
        if isinstance(recorded, dict) and set(recorded) == {"$c"}:
            self.open(path, recorded, b"")
        elif isinstance(recorded, dict):
            for name, value in recorded.items():
                self.added(step(path, name), value)


def check_echo(submitted, entry, openings):
    """Checks a record's bytes against those of its event; `openings` are (path, (salt, value or None)).

    Returns the verdict and the rules behind it.
    """
    try:
        record = json.loads(entry, object_pairs_hook=unique)
        require(isinstance(record, dict) and jcs(record).encode() == entry, "not a canonical object")
        require(record.get("v") == 1 and record.get("t") == "event", "not the record of an event")
        require(record.get("vd") in SHOWN | HIDDEN, "no verdict")
        Echo(submitted, record, openings).check()
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise Changed(f"not in the form of a record: {wrong!r}") from wrong
    return record["vd"], record.get("vr", [])
