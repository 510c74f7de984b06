"""Text made safe for one place in LDAP: a value in a filter, or a value in a distinguished name.

The two escape differently, so they are two types, and each is accepted in its own place only. Everything
that a visitor types, and everything read from an entry, passes through here once, at the edge.
"""

_PLAIN_IN_FILTER = frozenset(range(0x20, 0x7F)) - frozenset(b"()*\\")
_SPECIAL_IN_DN = frozenset('",+;<>=\\#')


class FilterValue:
    """An assertion value for a search filter (RFC 4515 section 3). `str()` gives it escaped."""

    __slots__ = ("_escaped",)

    def __init__(self, value: str | bytes) -> None:
        """Escape `value`. Raises UnicodeEncodeError for text that has no UTF-8 form."""
        octets = value.encode() if isinstance(value, str) else value
        last = len(octets) - 1
        # ldap3 strips spaces at either end of a value, so those are escaped too
        self._escaped = "".join(
            chr(octet)
            if octet in _PLAIN_IN_FILTER and (octet != 0x20 or 0 < place < last)
            else f"\\{octet:02x}"
            for place, octet in enumerate(octets)
        )

    def __str__(self) -> str:
        return self._escaped


class DnValue:
    """An attribute value for a distinguished name (RFC 4514 section 2.4). `str()` gives it escaped."""

    __slots__ = ("_escaped",)

    def __init__(self, value: str) -> None:
        """Escape `value`. Raises UnicodeEncodeError for text that has no UTF-8 form."""
        value.encode()
        last = len(value) - 1
        self._escaped = "".join(
            _escape_in_dn(character, at_edge=place in (0, last)) for place, character in enumerate(value)
        )

    def __str__(self) -> str:
        return self._escaped


def _escape_in_dn(character: str, *, at_edge: bool) -> str:
    if character in _SPECIAL_IN_DN:
        return f"\\{character}"
    if not character.isprintable() or (at_edge and character.isspace()):
        return "".join(f"\\{octet:02x}" for octet in character.encode())
    return character
