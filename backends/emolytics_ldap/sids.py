"""Active Directory's security identifiers (MS-DTYP 2.4.2), binary and as text."""

import struct


def sid_text(sid: bytes) -> str:
    """`S-1-5-21-…`. Raises ValueError for what is none."""
    if len(sid) < 8 or len(sid) != 8 + 4 * sid[1]:
        raise ValueError("is not a security identifier")
    parts = struct.unpack(f"<{sid[1]}I", sid[8:])
    return "-".join(map(str, ("S", sid[0], int.from_bytes(sid[2:8], "big"), *parts)))


def sid_beside(sid: bytes, relative: int) -> bytes:
    """The identifier in the same domain with this relative id (a `primaryGroupID`, say)."""
    return sid[:-4] + struct.pack("<I", relative)
