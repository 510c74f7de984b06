"""Which new passwords are taken: NIST SP 800-63B-4, section 3.1.1.2, and ASVS 5.0, section 6.2.

Length counts, composition does not (6.2.5). Refused is what attackers try first: the common passwords
(6.2.4), patterns, the words that belong to this service (6.2.11) and to the person, each also with a few
characters added. The check reads a folded copy; the password itself is stored exactly as typed (6.2.8).
"""

import gzip
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

from emolytics.errors import PasswordRefused

LEAST_MINIMUM = 8  # ASVS 6.2.1
MAX_LENGTH = 256

_SEQUENCES = (
    "abcdefghijklmnopqrstuvwxyz",
    "012345678901234567890",
    "qwertyuiop qwertzuiopü azertyuiop",
    "asdfghjkl; asdfghjklöä qsdfghjklm",
    "zxcvbnm,./ yxcvbnm,.- wxcvbn",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
_ALIKE = 0.8  # difflib's ratio: of five letters one may differ
_LETTERS = 5  # words shorter than that resemble too much
_LEAD, _TRAIL = re.compile(r"^[\W\d_]+"), re.compile(r"[\W\d_]+$")
# How the characters of a word are commonly disguised; 1 and ! may stand for either letter.
_DISGUISES = (
    str.maketrans("", ""),
    str.maketrans("@4301!$57", "aaeoiisst"),
    str.maketrans("@4301!$57", "aaeollsst"),
)


_LONGEST_PASSWORD = 4096  # characters


@dataclass(frozen=True)
class PasswordPolicy:
    """The rules for a new password.

    `minimum_length` counts code points, as typed or after NFC, whichever are fewer, so that é is one however
    it is typed; the most is `MAX_LENGTH` code points as typed. `context_words`: the names of the product,
    the organisation, the host.
    """

    minimum_length: int = 12
    context_words: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not LEAST_MINIMUM <= self.minimum_length <= MAX_LENGTH:
            raise ValueError(f"minimum_length must be from {LEAST_MINIMUM} to {MAX_LENGTH}")

    @property
    def rules(self) -> str:
        """What people are told before they choose."""
        return f"At least {self.minimum_length} characters. A few unrelated words make a good one."

    def check(self, password: str, *, about: Sequence[str] = ()) -> None:
        """Return if the password may be set; `about` holds the person's own names and addresses.

        Raises `PasswordRefused` with one sentence for the person, which never repeats the password.
        """
        _check_characters(password)
        self._check_length(password)
        text = _folded(password)
        words = self._context | _words_of(about)
        if any(_is_mostly(way, words) or _resembles(way, words) for way in (text, text[::-1])):
            raise PasswordRefused(
                "This password is too close to your own name or address, or to the name of this service."
            )
        if _is_common(text):
            raise PasswordRefused("This password is too close to one that attackers try first.")
        if _is_pattern(text):
            raise PasswordRefused("This password repeats a short pattern or follows the keyboard.")

    def _check_length(self, password: str) -> None:
        if len(password) > MAX_LENGTH:  # first: normalising a huge text is slow
            raise PasswordRefused(f"Use at most {MAX_LENGTH} characters.")
        length = min(len(password), len(unicodedata.normalize("NFC", password)))  # NFC can also lengthen
        if length < self.minimum_length:
            raise PasswordRefused(
                f"Use at least {self.minimum_length} characters; this password has {length}."
            )

    @cached_property
    def _context(self) -> frozenset[str]:
        return _words_of(self.context_words)


@lru_cache(maxsize=1)
def common_passwords() -> frozenset[str]:
    """Return the shipped list, folded as `check` folds. Where it comes from: data/NOTICE."""
    path = Path(__file__).with_name("data") / "common_passwords.txt.gz"
    return frozenset(gzip.decompress(path.read_bytes()).decode().strip().split("\n"))


def _check_characters(password: str) -> None:
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in password):
        raise PasswordRefused("This password holds a character that cannot be stored.")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _is_common(text: str) -> bool:
    if text in common_passwords():
        return True
    return any(
        core.translate(disguise) in common_passwords() and _adds_little(text.replace(core, "", 1))
        for core in (_TRAIL.sub("", text), _LEAD.sub("", text), _LEAD.sub("", _TRAIL.sub("", text)))
        for disguise in _DISGUISES
    )


def _adds_little(rest: str) -> bool:
    """Say whether what stands around a known word would not do as a password of its own."""
    rest = rest.strip()
    return len(rest) < LEAST_MINIMUM or re.sub(r"[\W_]", "", rest) in common_passwords() or _is_pattern(rest)


def _is_pattern(text: str) -> bool:
    return _is_repetition(text) or _pieces(text) * 3 <= len(text)


def _is_repetition(text: str) -> bool:
    for period in range(1, (len(text) + 1) // 2 + 1):
        if text[period:] == text[:-period]:
            return period < LEAST_MINIMUM or text[:period].strip() in common_passwords()
    return False


def _pieces(text: str) -> int:
    """Count the runs that the text is made of: "abcd1234" is two, "aaaa" one, "horse" five."""
    pieces, ways = 1, frozenset[int]()
    for pair in pairwise(text):
        onward = _ways(*pair)
        ways = ways & onward if ways else onward
        pieces += not ways
    return pieces


def _ways(one: str, other: str) -> frozenset[int]:
    """Return the sequences, forward or backward, in which one character follows the other."""
    if one == other:
        return frozenset([0])
    step = one + other
    forward = {number for number, sequence in enumerate(_SEQUENCES, 1) if step in sequence}
    backward = {-number for number, sequence in enumerate(_SEQUENCES, 1) if step[::-1] in sequence}
    return frozenset(forward | backward)


def _is_mostly(text: str, words: frozenset[str]) -> bool:
    longest_first = sorted(words, key=len, reverse=True)
    for disguise in _DISGUISES:
        rest = text.translate(disguise)
        for word in longest_first:
            rest = rest.replace(word, "")
        if len(rest) < len(text) and _adds_little(rest):
            return True
    return False


def _resembles(text: str, words: frozenset[str]) -> bool:
    """Say whether the letters are one of the words with some of them changed, left out or added."""
    core = _LEAD.sub("", _TRAIL.sub("", text))
    return any(
        SequenceMatcher(None, core, word, autojunk=False).ratio() >= _ALIKE
        for word in words
        if len(word) >= _LETTERS and abs(len(core) - len(word)) <= len(word) // 4
    )


def _words_of(texts: Sequence[str]) -> frozenset[str]:
    """Return the words to look for, without those so short that they occur by chance."""
    folded = [_folded(text) for text in texts]
    wholes = [whole.strip() for text in folded for whole in (text, text.partition("@")[0])]
    parts = [part for text in folded for part in re.split(r"[\W_]+", text)]
    # Counted in bytes, because a letter of Chinese says more than one of Latin.
    return frozenset(
        [word for word in wholes if len(word.encode()) >= 3]
        + [word for word in parts if len(word.encode()) >= 4]
    )


def can_be_a_password(password: str) -> bool:
    """Backends are promised text without NUL that UTF-8 can hold, and of a length that costs nothing to hash."""
    if not password or "\0" in password or len(password) > _LONGEST_PASSWORD:
        return False
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True
