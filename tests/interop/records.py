"""Makes the vectors of audit records, written from src/manual/records.md alone.

    records.py write FOLDER     writes them
    records.py check FOLDER     compares them with what is there

Keys, salts and nonces are derived from names, so that each run makes the same bytes.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORIGIN = "log.example/audit/2026"
ID = "019aa3d1-5a40-7c3b-8f6e-2b1d9c0a7e55"
AT = "2026-11-21T00:14:00.000001Z"
PART_BYTES = 40960


def sha256(data):
    return hashlib.sha256(data).digest()


def secret(name):
    return sha256(b"vector " + name.encode())


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def lp16(data):
    return struct.pack(">H", len(data)) + data


def lp32(data):
    return struct.pack(">I", len(data)) + data


def jcs(value):
    """RFC 8785, for values whose numbers are integers."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(jcs(name) + ":" + jcs(value[name]) for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    if isinstance(value, str):
        named = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
        escape = lambda code: named.get(code) or (f"\\u{code:04x}" if code < 32 else chr(code))
        return '"' + "".join(escape(ord(character)) for character in value) + '"'
    assert value is None or isinstance(value, (bool, int))
    return json.dumps(value)


def commitment(path, salt, value):
    return sha256(b"\x02\x01" + lp16(path.encode()) + salt + lp32(value))


def committed(path, salt, value):
    return {"$c": b64(commitment(path, salt, jcs(value).encode()))}


def token(key, epoch, path, value):
    data = b"\x08\x01" + struct.pack(">I", epoch) + lp16(path.encode()) + lp32(value)
    return f"{epoch}.{b64(hmac.new(key, data, hashlib.sha256).digest()[:16])}"


def key_id(key):
    return hmac.new(key, b"attestree/key-id/v1", hashlib.sha256).digest()[:16]


def hkdf(key, info):
    return HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(key)


def disclosure(subject_key, origin, record, field, path, salt, value):
    place = lp16(origin.encode()) + lp16(record.encode())
    info = b"attestree/disclosure/v1" + place
    key = hkdf(subject_key, info)
    nonce = bytes(10) + struct.pack(">H", field)
    sealed = AESGCM(key).encrypt(nonce, salt + value, place + lp16(path.encode()))
    return b"\x01" + key_id(subject_key) + lp16(path.encode()) + sealed


def wrapped(kek, nonce, key, data):
    return b"\x01" + nonce + AESGCM(kek).encrypt(nonce, key, data)


def subject_data(origin, subject):
    return b"attestree/subject-key/v1" + lp16(origin.encode()) + lp16(subject.encode())


def token_data(log, epoch, path):
    return b"attestree/token-key/v1" + struct.pack(">II", log, epoch) + lp16(path.encode())


def key_row(kek, names, nonces, place, name, content, key, data):
    """The key and the row of a key with a name: `name` is what it is found by, `content` what is sealed."""
    tag = hmac.new(hkdf(names, b"attestree/name-tag/v1"), place + name, hashlib.sha256).digest()
    sealed = AESGCM(hkdf(names, b"attestree/name-seal/v1")).encrypt(nonces[1], content, place + tag)
    return place + tag, b"\x01" + wrapped(kek, nonces[0], key, data) + nonces[1] + sealed


def encode_files(files):
    paths = sorted(files, key=str.encode)
    return b"".join(lp16(path.encode()) + lp32(files[path]) for path in paths)


def policy_digest(files):
    return sha256(b"\x07" + encode_files(files))


def signer(name):
    return Ed25519PrivateKey.from_private_bytes(secret(name))


def public(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def statement(origin, old, new, expiry):
    start = b"attestree/policy-approval/v1\0"
    return start + lp16(origin.encode()) + old + new + struct.pack(">Q", expiry)


PATHS = ["/actor/email", "/ctx/a~1b~0c", "/ctx/list/0", "/resource", "/ctx/\u20ac"]
VALUES = ['"a@example.com"', '""', "null", '{"id":7,"z":[true]}', '"\u20ac\U0001f600"']


def commitments():
    for number, (path, value) in enumerate(zip(PATHS, VALUES)):
        salt = secret(f"salt {number}")
        yield {
            "path": path, "salt": salt.hex(), "value": value,
            "commitment": commitment(path, salt, value.encode()).hex(),
        }


def tokens():
    for number, (path, value) in enumerate(zip(PATHS, VALUES)):
        key, epoch = secret(f"token key {number}"), [0, 1, 692, 4294967295, 30][number]
        yield {"key": key.hex(), "epoch": epoch, "path": path, "value": value,
               "token": token(key, epoch, path, value.encode())}


def disclosures():
    for number, (path, value) in enumerate(zip(PATHS, VALUES)):
        key, salt = secret("subject key"), secret(f"salt {number}")
        field = [0, 1, 2, 255, 65535][number]
        row = disclosure(key, ORIGIN, ID, field, path, salt, value.encode())
        yield {"origin": ORIGIN, "id": ID, "field": field, "subject_key": key.hex(), "path": path,
               "salt": salt.hex(), "value": value, "row": row.hex()}


def subject_keys():
    for number, subject in enumerate(["subject/u_8812", "class/authentication/2026-11", "subject/\u20ac"]):
        kek, key, nonce = secret("kek"), secret(subject), secret(f"nonce {number}")[:12]
        yield {"kek": kek.hex(), "origin": ORIGIN, "subject": subject, "nonce": nonce.hex(),
               "key": key.hex(), "id": key_id(key).hex(),
               "wrapped": wrapped(kek, nonce, key, subject_data(ORIGIN, subject)).hex()}


def kept_keys():
    """Rows of the key store of log 7, by kind."""
    kek, names, log = secret("kek"), secret("names"), struct.pack(">I", 7)
    nonces = [secret("nonce 10")[:12], secret("nonce 11")[:12]]
    start = {"kek": kek.hex(), "kek_id": key_id(kek).hex(), "names": names.hex(), "log": 7,
             "nonces": [nonce.hex() for nonce in nonces]}
    row = b"\x01" + key_id(kek) + wrapped(kek, nonces[0], names, b"attestree/name-secret/v1")
    yield start | {"kind": "store", "stored": "01", "row": (row + sha256(row)[:8]).hex(),
                   "text": "attestree-kek-v1:" + b64(kek)}
    key = secret("identity")
    row = b"\x01" + wrapped(kek, nonces[0], key, b"attestree/identity-secret/v1" + log)
    yield start | {"kind": "identity", "key": key.hex(), "stored": (b"\x02" + log).hex(), "row": row.hex()}
    for subject in ["subject/u_8812", "subject/" + "u" * 1100]:
        key, long = secret(subject), len(subject) > 1024
        stood = "long/" + b64(sha256(subject.encode())) if long else subject
        content = lp16(ORIGIN.encode()) + stood.encode()
        stored, row = key_row(kek, names, nonces, b"\x03" + log, stood.encode(), content, key,
                              subject_data(ORIGIN, stood))
        yield start | {"kind": "subject", "origin": ORIGIN, "subject": subject, "key": key.hex(),
                       "stored": stored.hex(), "row": row.hex(), "found": (b"\x06" + log + key_id(key)).hex(),
                       "found_row": (b"\x01" + stored[-32:]).hex()}
    key, epoch, path = secret("token"), 692, "/ctx/phone"
    stored, row = key_row(kek, names, nonces, b"\x04" + log + struct.pack(">I", epoch), path.encode(),
                          path.encode(), key, token_data(7, epoch, path))
    yield start | {"kind": "token", "epoch": epoch, "path": path, "key": key.hex(),
                   "stored": stored.hex(), "row": row.hex()}


def policies():
    small = [("policy.yaml", "kind: Policy\n", 1)]
    several = [("a/b.yaml", "b\n", 1), ("a.yaml", "", 1), ("a-b.yaml", "x", 1), ("\u20ac.json", "{}", 1)]
    large = [("data.json", "0123456789abcdef", 5120), ("policy.yaml", "kind: Policy\n", 1)]
    for listed in (small, several, large):
        encoded = encode_files({path: (text * times).encode() for path, text, times in listed})
        parts = [encoded[at:at + PART_BYTES] for at in range(0, len(encoded), PART_BYTES)]
        yield {"files": [{"path": path, "text": text, "times": times} for path, text, times in listed],
               "digest": b64(sha256(b"\x07" + encoded)), "bytes": len(encoded),
               "parts": [sha256(part).hex() for part in parts]}


EXPIRES, EXPIRY = "2026-12-01T00:00:00.000000Z", 1796083200000000


def approval(name, old, new):
    key = signer(name)
    signature = key.sign(statement(ORIGIN, old, new, EXPIRY))
    return {"expires": EXPIRES, "key": b64(public(key)), "sig": b64(signature)}


def approvals():
    for name, old in (("alice", bytes(32)), ("bob", secret("old policy"))):
        new = secret("new policy")
        yield {"origin": ORIGIN, "old": b64(old), "new": b64(new), "expires": EXPIRES,
               "statement": statement(ORIGIN, old, new, EXPIRY).hex(), **approval(name, old, new)}


def rule(names, threshold):
    return {"keys": sorted((b64(public(signer(name))) for name in names), key=lambda key: base64.urlsafe_b64decode(key + "=")),
            "threshold": threshold}


def head(kind, policy=None, **members):
    record = {"v": 1, "t": kind, "id": ID, "at": AT, **members}
    if policy is not None:
        record["pv"] = b64(policy)
    return record


SUBMISSION = """{
  "ot": "2026-11-21T01:13:59.8+01:00", "class": "authentication", "act": "auth.login", "out": "failure", "seq": 1042,
  "source": "payments-7", "actor": {"id": "u_8812", "email": "a@example.com"}, "resource": {"type": "realm", "id": 7},
  "ctx": {"z": [1, {"ip": "192.0.2.1"}], "card": "4111111111111111", "\\u20ac": null, "phone": "+1 555 0100"}
}"""

FILES = {"policy.yaml": b"kind: Policy\n"}


def event():
    """The record of SUBMISSION: two fields committed, one masked, one a token."""
    salts = [secret("salt of email"), secret("salt of ip")]
    epoch = 685
    phone = token(secret("token key"), epoch, "/ctx/phone", b'"+1 555 0100"')
    return head(
        "event", policy_digest(FILES), source="CN=payments", ot="2026-11-21T01:13:59.8+01:00", out="failure", seq=1042,
        act="auth.login", actor={"id": "u_8812", "email": committed("/actor/email", salts[0], "a@example.com")},
        resource={"type": "realm", "id": 7}, vd="warn", vr=["card/masked", "zone"],
        ctx={"z": [1, {"ip": committed("/ctx/z/1/ip", salts[1], "192.0.2.1")}], "card": "***1111", "\u20ac": None,
             "phone": {"$t": phone}, "claimed_source": "payments-7"},
        red=[["/ctx/card", "mask"], ["/ctx/phone", "token"]], **{"class": "authentication"},
    )


def quarantined(verdict="quarantine"):
    raw = commitment("/ctx/raw", secret("salt of raw"), SUBMISSION.encode())
    return head("event", policy_digest(FILES), source="CN=payments", vd=verdict, vr=["record/form-act"],
                ctx={"raw": {"$c": b64(raw)}})


def tally(**members):
    return {"count": 12, "from": "2026-11-21T00:00:00.000000Z", "rule": "brute-force", "to": AT, **members}


def policy_record():
    digest = policy_digest(FILES)
    approved = sorted((approval(name, bytes(32), digest) for name in ("alice", "bob")),
                      key=lambda one: base64.urlsafe_b64decode(one["key"] + "="))
    ctx = {"approvals": approved, "bytes": len(encode_files(FILES)), "digest": b64(digest), "parts": 1,
           "engine": {"name": "attestree", "version": "0.1.0"}, "rule": rule(["alice", "bob", "carol"], 2)}
    return head("policy", source="uid=0", ctx=ctx)


def policy_part(**members):
    ctx = {"data": b64(encode_files(FILES)), "digest": b64(policy_digest(FILES)), "part": 0, "parts": 1, **members}
    return head("policy-part", ctx=ctx)


def records():
    digest = policy_digest(FILES)
    return {
        "genesis": head("genesis", ctx={"origin": ORIGIN, "rule": rule(["alice", "bob"], 2)}),
        "genesis-open": head("genesis", ctx={"origin": ORIGIN, "rule": rule([], 0)}),
        "policy-part": policy_part(),
        "policy": policy_record(),
        "event": event(),
        "event-empty": head("event", vd="accept"),
        "event-dropped": head("event", vd="accept", ctx={"list": [None]}, red=[["/ctx/list/0", "drop"], ["/ctx/x", "drop"]]),
        "quarantine": quarantined(),
        "error": quarantined("error"),
        "unparsed": {**quarantined(), "class": "unparsed", "vr": ["record/unparsed"]},
        "gap": head("gap", digest, source="CN=payments", ctx={"from": 41, "to": 44}),
        "late": head("late", digest, source="CN=payments", seq=42),
        "conflict": head("conflict", digest, source="CN=payments", seq=40),
        "conflict-key": head("conflict", digest, source="k8s-prod", ctx={"first": 12, "index": 57}),
        "suppressed": head("suppressed", digest, ctx=tally(), **{"class": "debug"}),
        "alert": head("alert", digest, source="CN=payments", ctx=tally(kind="threshold")),
        "alert-absence": head("alert", digest, source="CN=payments", ctx=tally(kind="absence", count=0)),
    }


def without(record, name):
    return {key: value for key, value in record.items() if key != name}


def refused():
    """Each breaks one sentence of the manual, and nothing else."""
    good, hidden = event(), quarantined()
    context = lambda **members: {**good, "ctx": {**good["ctx"], **members}}
    alert = head("alert", ctx=tally(kind="match"))
    yield from {
        "version-2": {**good, "v": 2}, "no-version": without(good, "v"), "version-text": {**good, "v": "1"},
        "type-unknown": {**good, "t": "entry"}, "type-erasure": {**good, "t": "erasure"}, "no-type": without(good, "t"),
        "type-retention": head("retention", ctx={}), "type-index": head("index", ctx={}),
        "no-id": without(good, "id"), "id-upper": {**good, "id": ID.upper()}, "id-version-4": {**good, "id": ID[:14] + "4" + ID[15:]},
        "id-variant": {**good, "id": ID[:19] + "c" + ID[20:]}, "id-short": {**good, "id": ID[:-1]},
        "id-dash-moved": {**good, "id": "019aa3d15-a40-7c3b-8f6e-2b1d9c0a7e55"},
        "no-at": without(good, "at"), "at-millis": {**good, "at": "2026-11-21T00:14:00.001Z"}, "at-offset": {**good, "at": AT[:-1] + "+00:00"},
        "at-february-30": {**good, "at": "2026-02-30T00:14:00.000001Z"}, "at-leap-second": {**good, "at": "2026-12-31T23:59:60.000000Z"},
        "at-hour-24": {**good, "at": "2026-11-21T24:00:00.000000Z"}, "at-1969": {**good, "at": "1969-12-31T23:59:59.999999Z"},
        "at-no-leap-year": {**good, "at": "2100-02-29T00:00:00.000000Z"}, "at-lower": {**good, "at": AT.lower()},
        "pv-short": {**good, "pv": "AAAA"}, "pv-padded": {**good, "pv": good["pv"] + "="}, "pv-bits": {**good, "pv": "A" * 42 + "B"},
        "tok": {**good, "tok": []}, "member-unknown": {**good, "extra": 1}, "member-dollar": {**good, "$x": 1},
        "no-verdict": without(good, "vd"), "verdict-unknown": {**good, "vd": "reject"},
        "accept-with-rules": {**good, "vd": "accept"}, "warn-without-rules": without(good, "vr"), "rules-empty": {**good, "vr": []},
        "rules-unsorted": {**good, "vr": ["zone", "card/masked"]}, "rules-twice": {**good, "vr": ["zone", "zone"]},
        "rule-space": {**good, "vr": ["card masked"]}, "rules-65": {**good, "vr": [f"r{n:02}" for n in range(65)]},
        "ot-no-zone": {**good, "ot": "2026-11-21T01:13:59"}, "ot-lower": {**good, "ot": "2026-11-21t01:13:59z"},
        "ot-ten-decimals": {**good, "ot": "2026-11-21T01:13:59.0123456789Z"}, "ot-no-decimals": {**good, "ot": "2026-11-21T01:13:59.Z"},
        "class-upper": {**good, "class": "Authentication"}, "class-empty": {**good, "class": ""}, "class-sign": {**good, "class": "-a"},
        "class-129": {**good, "class": "a" * 129}, "act-empty": {**good, "act": ""}, "act-257": {**good, "act": "a" * 257},
        "act-control": {**good, "act": "a\u0001"}, "act-object": {**good, "act": {"$c": "A" * 43}}, "out-other": {**good, "out": "ok"},
        "seq-text": {**good, "seq": "1042"}, "seq-negative": {**good, "seq": -1}, "source-empty": {**good, "source": ""},
        "source-513": {**good, "source": "a" * 513}, "actor-text": {**good, "actor": "u_8812"}, "resource-list": {**good, "resource": []},
        "ctx-null": {**good, "ctx": None}, "ctx-raw": context(raw=1), "ctx-raw-commitment": context(raw={"$c": "A" * 43}),
        "ctx-enriched-text": context(enriched="x"), "ctx-claimed-number": context(claimed_source=1),
        "name-dollar": context(x={"$y": 1}), "name-256": context(x={"n" * 256: 1}), "commitment-short": context(x={"$c": "A" * 42}),
        "commitment-bits": context(x={"$c": "A" * 42 + "B"}), "commitment-and-more": context(x={"$c": "A" * 43, "y": 1}),
        "commitment-number": context(x={"$c": 1}), "token-zero": context(phone={"$t": "0685." + "A" * 22}),
        "token-plus": context(phone={"$t": "+685." + "A" * 22}), "token-epoch-33-bits": context(phone={"$t": "4294967296." + "A" * 22}),
        "token-long": context(phone={"$t": "685." + "A" * 24}), "token-not-in-red": {**good, "red": [["/ctx/card", "mask"]]},
        "commitment-below-long-path": context(**{"a" * 255: {"b" * 255: {"c" * 255: {"d" * 255: {"$c": "A" * 43}}}}}),
        "red-empty": {**good, "red": []}, "red-unsorted": {**good, "red": good["red"][::-1]}, "red-twice": {**good, "red": [good["red"][0]] + good["red"]},
        "red-action": {**good, "red": [["/ctx/card", "hide"], good["red"][1]]}, "red-path": {**good, "red": [["ctx/card", "mask"], good["red"][1]]},
        "red-escape": {**good, "red": [good["red"][1], ["/ctx/~2", "drop"]]}, "red-mask-nothing": {**good, "red": [["/ctx/gone", "mask"], good["red"][1]]},
        "red-drop-something": {**good, "red": [["/ctx/card", "drop"], good["red"][1]]}, "red-spill-nothing": {**good, "red": [["/ctx/card", "spill"], good["red"][1]]},
        "red-triple": {**good, "red": [["/ctx/card", "mask", 1], good["red"][1]]}, "red-not-a-list": {**good, "red": {}},
        "quarantine-shows-act": {**hidden, "act": "auth.login"}, "quarantine-shows-more": {**hidden, "ctx": {**hidden["ctx"], "x": 1}},
        "quarantine-raw-text": {**hidden, "ctx": {"raw": SUBMISSION}}, "quarantine-no-raw": {**hidden, "ctx": {}},
        "quarantine-class": {**hidden, "class": "authentication"}, "quarantine-class-number": {**hidden, "class": 1},
        "quarantine-no-rules": without(hidden, "vr"), "quarantine-red": {**hidden, "red": [["/ctx/x", "drop"]]},
        "genesis-with-policy": head("genesis", bytes(32), ctx={"origin": ORIGIN, "rule": rule([], 0)}),
        "genesis-origin": head("genesis", ctx={"origin": "https://log.example", "rule": rule([], 0)}),
        "genesis-verdict": head("genesis", ctx={"origin": ORIGIN, "rule": rule([], 0)}, vd="accept"),
        "rule-threshold": head("genesis", ctx={"origin": ORIGIN, "rule": rule(["alice"], 2)}),
        "rule-unsorted": head("genesis", ctx={"origin": ORIGIN, "rule": {"keys": rule(["alice", "bob"], 1)["keys"][::-1], "threshold": 1}}),
        "rule-weak-key": head("genesis", ctx={"origin": ORIGIN, "rule": {"keys": [b64(b"\1" + bytes(31))], "threshold": 1}}),
        "rule-more": head("genesis", ctx={"origin": ORIGIN, "rule": {**rule([], 0), "x": 1}}),
        "policy-parts": {**policy_record(), "ctx": {**policy_record()["ctx"], "parts": 2}},
        "policy-no-bytes": {**policy_record(), "ctx": {**policy_record()["ctx"], "bytes": 0, "parts": 0}},
        "policy-approval-twice": {**policy_record(), "ctx": {**policy_record()["ctx"], "approvals": policy_record()["ctx"]["approvals"][:1] * 2}},
        "policy-act": {**policy_record(), "act": "policy.apply"}, "part-beyond": policy_part(part=1), "part-short": policy_part(parts=2),
        "part-empty": policy_part(data=""), "part-data": policy_part(data="+/"),
        "gap-empty": head("gap", source="a", ctx={"from": 41, "to": 41}), "gap-no-source": head("gap", ctx={"from": 41, "to": 44}),
        "late-no-seq": head("late", source="a"), "conflict-ctx": head("conflict", source="a", seq=1, ctx={}),
        **{"conflict-key-" + name: head("conflict", source="a", ctx=ctx) for name, ctx in {
            "same": {"first": 12, "index": 12}, "backwards": {"first": 13, "index": 12}, "first": {"index": 12}, "index": {"first": 12},
            "more": {"first": 12, "index": 13, "seq": 1}, "text": {"first": "12", "index": 13}, "negative": {"first": -1, "index": 13}}.items()},
        "conflict-key-no-source": head("conflict", ctx={"first": 12, "index": 13}),
        "late-ctx": head("late", source="a", ctx={"first": 12, "index": 13}), "suppressed-kind": head("suppressed", ctx=tally(kind="match")), "suppressed-none": head("suppressed", ctx=tally(count=0)),
        "alert-none": {**alert, "ctx": tally(kind="match", count=0)}, "alert-absence-some": {**alert, "ctx": tally(kind="absence")},
        "alert-kind": {**alert, "ctx": tally(kind="other")}, "alert-backwards": {**alert, "ctx": tally(kind="match", **{"from": EXPIRES})},
        "alert-rule": {**alert, "ctx": tally(kind="match", rule="")}, "alert-class": {**alert, "class": "A"},
    }.items()


def refused_texts():
    """Texts that are not canonical, or no objects."""
    text = jcs(event())
    yield "not-an-object", "[]"
    yield "space", text.replace(",", ", ", 1)
    yield "line-feed", text + "\n"
    yield "unsorted", '{"v":1,' + text[1:].replace(',"v":1', "", 1)
    yield "escaped", text.replace("\u20ac", "\\u20ac", 1)
    yield "exponent", text.replace("1042", "1.042e3")
    yield "twice", text.replace('"v":1', '"v":1,"v":1')
    deep = text.replace('"card":"***1111"', '"card":"***1111","deep":' + "[" * 31 + "]" * 31)
    yield "too-deep", deep
    yield "too-long", text.replace("u_8812", "u" * 65536)


def vectors():
    good = [{"name": name, "entry": jcs(record), "leaf_hash": sha256(b"\0" + jcs(record).encode()).hex()}
            for name, record in records().items()]
    bad = [{"name": name, "entry": jcs(record)} for name, record in refused()]
    bad += [{"name": name, "entry": text} for name, text in refused_texts()]
    made = {"submission": SUBMISSION, "email_salt": secret("salt of email").hex(), "ip_salt": secret("salt of ip").hex(),
            "raw_salt": secret("salt of raw").hex(), "token_key": secret("token key").hex(), "epoch": 685}
    lists = {"commitment": commitments, "token": tokens, "disclosure": disclosures, "subject-key": subject_keys, "kept-key": kept_keys,
             "policy": policies, "approval": approvals}
    texts = {name: list(make()) for name, make in lists.items()}
    return {**texts, "record": good, "refused": bad, "submission": made}


def main():
    mode, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    for name, value in vectors().items():
        text = json.dumps(value, indent=1, ensure_ascii=True) + "\n"
        path = folder / f"{name}.json"
        if mode == "write":
            path.write_text(text)
        elif path.read_text() != text:
            sys.exit(f"{path} differs: a format has changed, or this script has")
    print(f"{mode}: {len(vectors())} files of vectors")


main()
