"""The formats in which a password may be stored: ours, and those that accounts bring along from elsewhere.

A stored text decides how much work a comparison is. One that asks for more than the limits here is not
read at all, so that no row of a database can hold a thread for minutes or take the machine's memory.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

import bcrypt

HIGHEST_COST = 16
_LOWEST_COST = 4
_LONGEST = 512  # characters; the longest of these formats has 162
_MOST_ITERATIONS = 2_000_000
_MOST_BLOCKS = 2**20  # of scrypt's N * r * p; a block has 128 bytes
_MOST_MEMORY = 129 * 2**20
_NO_DIGEST = b""

_SALT_AND_DIGEST = r"\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})"
_BCRYPT = r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}"
_SALT = "([!-#%-~]{1,128})"
_DIGESTS = {"sha1": 20, "sha256": 32, "sha512": 64}  # bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored hash that can be compared with.

    `scheme` is for people. `cost` is bcrypt's, 0 where it is another function. `work` is all that decides how
    long a comparison takes: two hashes of the same `work` cannot be told apart by the clock. `matches` is None
    for what has the form of a hash but was never made as one; no work was done.
    """

    scheme: str
    cost: int
    work: str
    is_ours: bool
    matches: Callable[[bytes], bool | None]


def read(stored: str) -> Stored | None:
    """What can be compared with; None for another format, and for one that asks for more than the limits."""
    if len(stored) > _LONGEST:
        return None
    for pattern, reader in _READERS:
        if found := pattern.fullmatch(stored):
            return reader(found)
    return None


def prehash(password: bytes, salt: str) -> bytes:
    """passlib's bcrypt-sha256, version 2: 44 characters, whatever the password's length."""
    return base64.b64encode(hmac.digest(salt.encode(), password, hashlib.sha256))


def _ours(found: re.Match[str]) -> Stored | None:
    cost, salt, digest = found.groups()
    expected = f"$2b${int(cost):02}${salt}{digest}"
    return _bcrypt("bcrypt-sha256", expected, lambda password: prehash(password, salt), is_ours=True)


def _passlib_1(found: re.Match[str]) -> Stored | None:
    kind, cost, salt, digest = found.groups()
    expected = f"${kind}${int(cost):02}${salt}{digest}"
    return _bcrypt(
        "bcrypt-sha256 v1", expected, lambda password: base64.b64encode(hashlib.sha256(password).digest())
    )


def _plain(found: re.Match[str]) -> Stored | None:
    # Plain bcrypt never looked beyond 72 bytes; the library now refuses to be given more.
    return _bcrypt("bcrypt", found[0], lambda password: password[:72])


def _django_plain(found: re.Match[str]) -> Stored | None:
    return _bcrypt("Django's bcrypt", found[1], lambda password: password[:72])


def _django_bcrypt(found: re.Match[str]) -> Stored | None:
    return _bcrypt(
        "Django's bcrypt_sha256", found[1], lambda password: hashlib.sha256(password).hexdigest().encode()
    )


def _bcrypt(
    scheme: str, expected: str, prepared: Callable[[bytes], bytes], *, is_ours: bool = False
) -> Stored | None:
    cost = int(expected[4:6])
    if not _LOWEST_COST <= cost <= HIGHEST_COST:
        return None
    stored = expected.encode()

    def matches(password: bytes) -> bool | None:
        try:
            return hmac.compare_digest(bcrypt.hashpw(prepared(password), stored[:29]), stored)
        except ValueError:  # stray bits in the salt
            return None

    return Stored(scheme, cost, f"bcrypt {cost}", is_ours, matches)


def _werkzeug_scrypt(found: re.Match[str]) -> Stored | None:
    n, r, p = map(int, found.groups()[:3])
    if n < 2 or n & (n - 1) or not 0 < n * r * p <= _MOST_BLOCKS:
        return None
    salt, expected = found[4].encode(), bytes.fromhex(found[5])

    def matches(password: bytes) -> bool | None:
        try:
            given = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=64)
        except ValueError:  # RFC 7914 section 2 has a limit for N that depends on r
            return None
        return hmac.compare_digest(given, expected)

    return Stored("Werkzeug's scrypt", 0, f"scrypt {n} {r} {p}", is_ours=False, matches=matches)


def _werkzeug_pbkdf2(found: re.Match[str]) -> Stored | None:
    function, iterations, salt, digest = found.groups()
    return _pbkdf2("Werkzeug's pbkdf2", function, int(iterations), salt, bytes.fromhex(digest))


def _django_pbkdf2(found: re.Match[str]) -> Stored | None:
    function, iterations, salt, digest = found.groups()
    try:
        expected = base64.b64decode(digest, validate=True)
    except binascii.Error:
        expected = _NO_DIGEST
    return _pbkdf2("Django's pbkdf2", function, int(iterations), salt, expected)


def _pbkdf2(scheme: str, function: str, iterations: int, salt: str, expected: bytes) -> Stored | None:
    if not 0 < iterations <= _MOST_ITERATIONS or len(expected) != _DIGESTS[function]:
        return None

    def matches(password: bytes) -> bool:
        given = hashlib.pbkdf2_hmac(function, password, salt.encode(), iterations)
        return hmac.compare_digest(given, expected)

    return Stored(scheme, 0, f"pbkdf2 {function} {iterations}", is_ours=False, matches=matches)


# Tried in this order; `\d` alone would take the digits of every script.
_READERS = tuple(
    (re.compile(pattern, re.ASCII), reader)
    for pattern, reader in (
        (r"\$bcrypt-sha256\$v=2,t=2b,r=(\d{1,2})" + _SALT_AND_DIGEST, _ours),
        (r"\$bcrypt-sha256\$(2[ab]),(\d{1,2})" + _SALT_AND_DIGEST, _passlib_1),
        (_BCRYPT, _plain),
        (rf"bcrypt\$({_BCRYPT})", _django_plain),
        (rf"bcrypt_sha256\$({_BCRYPT})", _django_bcrypt),
        (rf"scrypt:(\d{{1,7}}):(\d{{1,3}}):(\d{{1,3}})\${_SALT}\$([0-9a-f]{{128}})", _werkzeug_scrypt),
        (
            rf"pbkdf2:(sha1|sha256|sha512):(\d{{1,8}})\${_SALT}\$((?:[0-9a-f]{{2}}){{20,64}})",
            _werkzeug_pbkdf2,
        ),
        (rf"pbkdf2_(sha1|sha256)\$(\d{{1,8}})\${_SALT}\$([A-Za-z0-9+/=]{{28,44}})", _django_pbkdf2),
    )
)
