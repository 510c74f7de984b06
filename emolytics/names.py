"""User names: the text that a backend is asked with, and the one form that two spellings share.

RFC 8265 says which characters a user name may have, as user parts with single spaces between them. On top
of it stand NFKC, which the directories and browsers of this world apply anyway, and full case folding.
"""

import re
import unicodedata

from precis_i18n import get_profile

from emolytics.errors import InvalidName

MAX_LENGTH = 256  # code points, so never more than 1,024 bytes of UTF-8

_PROFILE = get_profile("UsernameCasePreserved")
_REFUSED = {"Cc": "a control character", "Cf": "an invisible character", "Cs": "half a character"}
_REFUSED |= {"Zl": "a line break", "Zp": "a line break"}

# The Bidi Rule is one for labels (RFC 5893, section 1.4): a mail address or DOMAIN\name holds two of them.
_LABEL_ENDS = re.compile(r"[ @\\]")


def prepare(raw: str) -> str:
    """Return the name as backends are asked with it: NFKC, trimmed, inner white space made one space.

    Case stays as typed. Applied to its own result it changes nothing. Raises `InvalidName` for what is empty,
    longer than `MAX_LENGTH` before or after, or holds a character that RFC 8265 or this module refuses.
    """
    _check_length(raw)  # first: normalising a huge text is slow (CVE-2023-46695)
    _check_categories(raw)
    name = " ".join(unicodedata.normalize("NFKC", raw).split())
    if not name:
        raise InvalidName("the user name is empty")
    _check_length(name)  # one character may become eighteen
    for part in name.split(" "):
        _check_first(part)
    for label in filter(None, _LABEL_ENDS.split(name)):
        _check_profile(label)
    return name


def canonical(raw: str) -> str:
    """Return the one form of all spellings of a name: for lookup, unique index, throttle key and log.

    It is `prepare` with full Unicode case folding, repeated until nothing changes: applied to its own result
    it changes nothing, without which a second person can register a first one's name (Spotify, 2013).
    Raises `InvalidName` as `prepare` does.
    """
    name = prepare(raw)
    while (folded := prepare(name.casefold())) != name:
        name = folded
    return name


def _check_length(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise InvalidName(f"a user name has at most {MAX_LENGTH} characters")


def _check_categories(raw: str) -> None:
    for char in raw:
        if what := _REFUSED.get(unicodedata.category(char)):
            raise InvalidName(f"a user name cannot hold {what} (U+{ord(char):04X})")


def _check_first(part: str) -> None:
    # It would attach itself to whatever is printed before the name (RFC 5891, section 4.2.3.2).
    if unicodedata.category(part[0]).startswith("M"):
        raise InvalidName(f"no part of a user name can begin with U+{ord(part[0]):04X}")


def _check_profile(label: str) -> None:
    # Its mappings of width, case and normal form have nothing left to do after NFKC.
    try:
        _PROFILE.base.enforce(_PROFILE.directionality_rule(label))
    except UnicodeEncodeError as error:
        raise InvalidName(_explain(error)) from None


def _explain(error: UnicodeEncodeError) -> str:
    if error.end - error.start == 1 and len(error.object) > 1:
        return f"a user name cannot hold U+{ord(error.object[error.start]):04X}"
    return "this mixture of characters cannot be in a user name"
