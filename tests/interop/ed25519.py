"""Ed25519 by RFC 8032, section 5.1: slow, leaking, and short enough to check by eye."""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def _want(condition, reason):
    if not condition:
        raise ValueError(reason)


def _add(one, other):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(scalar, point):
    product = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            product = _add(product, point)
        point, scalar = _add(point, point), scalar >> 1
    return product


def _decompress(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    _want(y < P and x * x % P == square and (x or not sign), "not a point")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = _decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def verify_ed25519(public, message, signature):
    """Raises `ValueError` unless `public` signed `message`."""
    _want(len(signature) == 64, "not a signature")
    s = int.from_bytes(signature[32:], "little")
    _want(s < ORDER, "scalar out of range")
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    k = int.from_bytes(digest, "little") % ORDER
    left = _multiply(s, BASE)
    right = _add(_decompress(signature[:32]), _multiply(k, _decompress(public)))
    # Points are equal if they are so after division by Z.
    same = all((left[axis] * right[2] - right[axis] * left[2]) % P == 0 for axis in (0, 1))
    _want(same, "the signature does not verify")


def _compress(point):
    x, y, z, _ = point
    x, y = x * pow(z, -1, P) % P, y * pow(z, -1, P) % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _expand(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return scalar, digest[32:]


def public_key(seed):
    """Returns the public key that belongs to a seed."""
    return _compress(_multiply(_expand(seed)[0], BASE))


def sign_ed25519(seed, message):
    """Signs, in a time that depends on the key: for keys of tests alone."""
    scalar, prefix = _expand(seed)
    nonce = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % ORDER
    point = _compress(_multiply(nonce, BASE))
    digest = hashlib.sha512(point + public_key(seed) + message).digest()
    k = int.from_bytes(digest, "little") % ORDER
    return point + ((nonce + k * scalar) % ORDER).to_bytes(32, "little")
