"""A user agent string in words, for the list of sessions on the account page.

It is a label that helps people to know their own devices again. It is sent by the visitor and proves
nothing, so nothing else may be decided by it.
"""

PREFIX = 512  # characters; what tells a browser stands within the first 300

# The first that is found is the name: each of these also claims to be those further down.
_CLIENTS = (
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edg/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Focus/", "Firefox Focus"),
    ("FxiOS/", "Firefox"),
    ("SeaMonkey/", "SeaMonkey"),
    ("Firefox/", "Firefox"),
    ("Chromium/", "Chromium"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Epiphany/", "GNOME Web"),
    ("Safari/", "Safari"),
    ("MSIE ", "Internet Explorer"),
    ("Trident/", "Internet Explorer"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "Python"),
    ("python-httpx/", "Python"),
    ("Python-urllib/", "Python"),
    ("aiohttp/", "Python"),
    ("Go-http-client/", "Go"),
    ("okhttp/", "An app"),
    ("PostmanRuntime/", "Postman"),
    ("Mozilla/", "A browser"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPod", "iPod"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
    ("X11", "Unix"),
)


def in_words(user_agent: str | None) -> str:
    """Return "Firefox on Windows", "curl" or "Unknown device": plain text of our own, never raising."""
    text = (user_agent or "")[:PREFIX]
    client, system = _first(text, _CLIENTS), _first(text, _SYSTEMS)
    if system:
        return f"{client or 'A program'} on {system}"
    return client or "Unknown device"


def _first(text: str, names: tuple[tuple[str, str], ...]) -> str:
    return next((name for mark, name in names if mark in text), "")
