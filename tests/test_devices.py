"""A user agent string in words: enough for people to know their own devices again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolytics.devices import PREFIX, in_words

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
CHROME_OS = "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)"
SAMSUNG = "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPAD = IPHONE.replace("iPhone; CPU iPhone OS", "iPad; CPU OS")
ANDROID = "Mozilla/5.0 (Linux; Android 10; K)"


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; rv:141.0) Gecko/20100101 Firefox/141.0", "Firefox on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Android 15; Mobile; rv:141.0) Gecko/141.0 Firefox/141.0", "Firefox on Android"),
        (f"{IPHONE} FxiOS/141.0 Mobile/15E148 Safari/605.1.15", "Firefox on iPhone"),
        (f"{WINDOWS} {WEBKIT} Chrome/139.0.0.0 Safari/537.36", "Chrome on Windows"),
        (f"{MAC} {WEBKIT} Chrome/139.0.0.0 Safari/537.36", "Chrome on macOS"),
        (f"{ANDROID} {WEBKIT} Chrome/139.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        (f"{IPHONE} CriOS/139.0.7258.76 Mobile/15E148 Safari/604.1", "Chrome on iPhone"),
        (f"{CHROME_OS} {WEBKIT} Chrome/139.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/139.0 Safari/537.36", "Chrome on Linux"),
        (f"{WINDOWS} {WEBKIT} Ubuntu Chromium/80.0 Chrome/80.0 Safari/537.36", "Chromium on Windows"),
        (f"{WINDOWS} {WEBKIT} Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0", "Edge on Windows"),
        (f"{ANDROID} {WEBKIT} Chrome/139.0.0.0 Mobile Safari/537.36 EdgA/139.0.0.0", "Edge on Android"),
        (f"{IPHONE} Version/18.0 EdgiOS/139.0 Mobile/15E148 Safari/604.1", "Edge on iPhone"),
        (f"{WINDOWS} {WEBKIT} Chrome/137.0.0.0 Safari/537.36 OPR/121.0.0.0", "Opera on Windows"),
        (f"{ANDROID} {WEBKIT} {SAMSUNG}", "Samsung Internet on Android"),
        (f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15", "Safari on macOS"),
        (f"{IPHONE} Version/18.5 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
        (f"{IPAD} Version/18.5 Mobile/15E148 Safari/604.1", "Safari on iPad"),
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer on Windows"),
        ("Mozilla/5.0 (X11; FreeBSD amd64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on FreeBSD"),
        ("Mozilla/5.0 (compatible; Unheard-Of/1.0)", "A browser"),
        ("UnheardOf/1.0 (Windows NT 10.0)", "A program on Windows"),
        ("curl/8.14.1", "curl"),
        ("Wget/1.21.3", "Wget"),
        ("python-requests/2.32.4", "Python"),
        ("Go-http-client/2.0", "Go"),
        ("Dalvik-less nonsense", "Unknown device"),
        ("", "Unknown device"),
        (None, "Unknown device"),
    ],
)  # fmt: skip
def test_a_user_agent_is_named_in_words(user_agent: str | None, words: str) -> None:
    assert in_words(user_agent) == words


def test_only_a_bounded_prefix_is_read() -> None:
    assert in_words("x" * PREFIX + " Firefox/141.0") == "Unknown device"
    assert in_words("curl/8" + "x" * 5_000_000) == "curl"


@given(st.text() | st.text().map("Mozilla/5.0 (Windows) <script>".__add__))
def test_nothing_of_the_visitors_text_is_repeated(user_agent: str) -> None:
    words = in_words(user_agent)

    assert 0 < len(words) <= 40
    assert words.isascii()
    assert words.replace(" ", "").isalpha()
