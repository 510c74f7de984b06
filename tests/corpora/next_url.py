"""Values of `next` that must lead nowhere, made family by family, for every view that redirects.

Taken to be ours are https://login.example.com and, by the settings, https://app.example.com.
"""

from collections.abc import Iterator
from itertools import product
from urllib.parse import quote

EVIL = "evil.example"
OURS = ("login.example.com", "app.example.com", "app.example.com:443")


def _fill(templates: str, **words: str) -> Iterator[str]:
    """The templates stand apart by white space; EVIL in them is the attacker's host."""
    for template in templates.split():
        value = template.replace("EVIL", EVIL)
        for word, replacement in words.items():
            value = value.replace(word, replacement)
        yield value


def _again(text: str, times: int) -> str:
    """Escape what is escaped already, so many times more."""
    for _ in range(times):
        text = text.replace("%", "%25")
    return text


def _fullwidth(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


def slashes() -> Iterator[str]:
    for length in range(2, 7):
        yield from (f"{''.join(run)}{EVIL}" for run in product("/\\", repeat=length))
    for run in ("//", "///", "/\\", "\\\\", "\\/"):
        yield from _fill("RUN RUN/ RUNEVIL:443/a RUNEVIL%2f.. RUNuser@EVIL RUN[::1] RUN[ RUN0x7f.1", RUN=run)
        yield from _fill(
            "RUNEVIL/%2e%2e RUNEVIL?/ RUNEVIL#/ RUNlogin.example.com RUN2130706433 RUN1.1", RUN=run
        )


def white_space() -> Iterator[str]:
    ascii_ones = "\t\n\r\0\x01\x0b\x0c\x1b\x1f\x7f "
    others = "\x85\u00a0\u00ad\u1680\u180e\u2003\u200b\u200d\u2028\u2029\u202e\u2060\u3000\ufeff"
    for space in ascii_ones + others:
        yield from _fill(r"_//EVIL /_/EVIL //_EVIL /_\EVIL _/EVIL /EVIL_ /a_Set-Cookie:x=1", _=space)
        yield from _fill(
            "_https://EVIL ht_tps://EVIL https_://EVIL https:/_/EVIL java_script:alert(1)", _=space
        )


def schemes() -> Iterator[str]:
    names = "http https HTTPS hTTp ftp ws wss file gopher blob:https view-source:https"
    separators = (":", ":/", "://", ":///", ":////", ":\\", ":\\\\", ":/\\", ":\\/", ":\t//", "::", ":@")
    for name, separator in product(names.split(), separators):
        yield f"{name}{separator}{EVIL}"
    for harm in _fill("javascript:alert(1) data:text/html,<script>alert(1)</script> vbscript:x about:blank"):
        yield from (harm, harm.upper(), harm.title(), f" {harm}", harm.replace(":", "%3a"))
    yield from _fill(
        "javascript://%0aalert(1) javascript://login.example.com/%0aalert(1) mailto:a@EVIL tel:1"
    )
    yield from _fill(
        "intent://EVIL#Intent;scheme=https;end urn:x x-y:z : :// ://EVIL javascript&colon;alert(1)"
    )


def userinfo() -> Iterator[str]:
    for ours, mark in product(OURS, "@\\;&:"):
        yield from _fill("https://OURS_@EVIL //OURS_@EVIL https://EVIL_@OURS", OURS=ours, _=mark)
    for ours in OURS[:2]:
        yield from _fill(r"https://OURS%40EVIL https://EVIL\@OURS/ https://OURS%2f@EVIL", OURS=ours)
        yield from _fill("https://EVIL%00.OURS https://OURS%00.EVIL https://OURS＠EVIL", OURS=ours)
        yield from _fill("https://EVIL\u2044.OURS https://EVIL／.OURS https://OURS.EVIL", OURS=ours)


def hosts() -> Iterator[str]:
    numbers = "127.0.0.1 2130706433 0x7f000001 0177.1 0 127.1 [::1] [::ffff:7f00:1]"
    names = "localhost evil。example ⓔⓥⓘⓛ.example evil.example. xn--evl-sma.example - a..b"
    broken = "[ ] [evil % %00 a<b :80 : a:b a:99999 a:-1 ^ |"
    for host in (*numbers.split(), *names.split(), *broken.split(), "", "a b"):
        yield from (f"https://{host}/", f"http://{host}", f"//{host}/a", f"/\\{host}")


def encodings() -> Iterator[str]:
    for start, times in product(("/%2f", "/%5c", "%5c%5c", "/%09/", "/%0a/", "/.%2f/", "/..%2f/"), range(6)):
        yield from (
            _again(f"{start}{EVIL}", times),
            _again(f"{start}{quote(EVIL)}/x".replace(".", "%2e"), times),
        )
    controls = "%0d %0a %0d%0a %00 %09 %7f %c2%85 %e2%80%a8 %5c"
    for control, times in product(controls.split(), range(3)):
        yield from _fill("/_/EVIL /a_Set-Cookie:%20x=1", _=_again(control, times))
    yield from _fill("/%c0%afEVIL /%e0%80%afEVIL /%c1%9cEVIL /%ffEVIL /%ed%a0%80 /%u002fEVIL/../%2f %2fEVIL")
    yield from _fill("%2f%2fEVIL %5c%5cEVIL /%%32%66EVIL /%25%32%66EVIL")


def lookalikes() -> Iterator[str]:
    """Characters that NFKC maps to slashes, backslashes, dots or percent signs, or that look the part."""
    for char in ("／", "＼", "\ufe68"):
        for written in (char, quote(char), _again(quote(char), 1)):
            yield from _fill("/_EVIL __EVIL /_/EVIL _EVIL /.__EVIL", _=written)
    for dots in ("․", "‥", "．", "．．", "%2e", "%2e%2e", ".%2e", "%252e", "․%2e"):
        yield from _fill("/_//EVIL /a/../_//EVIL /_/_//EVIL /_%2f/EVIL", _=dots)
    yield from _fill("/％2fEVIL /\ufe6a2fEVIL /％２ｆEVIL /%EF%BC%852fEVIL \u2044\u2044EVIL \u2215\u2215EVIL")
    yield from (_fullwidth(f"//{EVIL}"), _fullwidth(f"https://{EVIL}"), f"/{_fullwidth('/' + EVIL)}")


def path_confusion() -> Iterator[str]:
    for climb in _fill("/. /.. /a/.. /a/b/../.. /a/%2e%2e /%2e /a/.%2E /./. /../../.. /a/../."):
        yield from _fill(r"_//EVIL _//EVIL/%2e%2e _// _/\EVIL _//EVIL?/ _%2f/EVIL _/%2fEVIL", _=climb)
        yield from _fill("_%252f%252fEVIL https://login.example.com_//EVIL", _=climb)
    for ours in OURS[:2]:
        yield from _fill(r"https://OURS//EVIL https://OURS/%2fEVIL https://OURS/\EVIL", OURS=ours)


def halves() -> Iterator[str]:
    for half in ("\ud800", "\udfff", "\ud83d\ude00", "\udc80"):
        yield from _fill("/_ /_/EVIL /a?_ /a#_ https://app.example.com/_ _", _=half)


FAMILIES = (slashes, white_space, schemes, userinfo, hosts, encodings, lookalikes, path_confusion, halves)
HOSTILE = tuple(dict.fromkeys(value for family in FAMILIES for value in family()))
