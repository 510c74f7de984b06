"""Rows X038 to X054 of SECURITY-CASES section 3: metadata, key set and token endpoint as servers that misbehave."""

import gzip
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics_oauth import cached
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import (
    CALLBACK,
    held,
    open_with,
    query_of,
    read_settings,
    refused,
    sign_in,
)
from tests.upstreams.loopback_http import (
    Answer,
    LoopbackHttp,
    Received,
    Reply,
    cut,
    drip,
    drip_headers,
    endless,
    hang,
    html_reply,
    json_reply,
    raw_json,
    redirect_reply,
    reset,
)
from tests.upstreams.lying_provider import ABSENT, Claims, LyingProvider

DISCOVERY = "/.well-known/openid-configuration"

#: Nobody answers, or breaks off: 503.
SILENCE: dict[str, Callable[[], Answer]] = {
    "X047 hang": hang,
    "X048 drip": drip,
    "X048 drip headers": drip_headers,
    "X049 500": lambda: Reply(500),
    "X049 502": lambda: html_reply("<h1>Bad Gateway</h1>", 502),
    "X049 503": lambda: Reply(503, b"", {"Retry-After": "7"}),
    "429": lambda: Reply(429),
    "X049 cut": cut,
    "X049 reset": reset,
}
#: An answer that cannot be one: 502.
NONSENSE: dict[str, Callable[[], Answer]] = {
    "X038 HTML": lambda: html_reply("<h1>Please pay for the network</h1>"),
    "X038 JSON called HTML": lambda: Reply(200, b"{}", {"Content-Type": "text/html"}),
    "X038 JSON called nothing": lambda: Reply(200, b"{}"),
    "X038 10 MB": lambda: raw_json(b" " * 10_000_000),
    "X038 gzip bomb": lambda: Reply(
        200,
        gzip.compress(b" " * 10_000_000),
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ),
    "X038 endless": endless,
    "X046 307": lambda: redirect_reply("http://127.0.0.1:9/", 307),
    "X046 308": lambda: redirect_reply("http://127.0.0.1:9/", 308),
    "X042 302": lambda: redirect_reply("http://127.0.0.1:9/"),
    "X049 empty": lambda: raw_json(""),
    "X051 list": lambda: json_reply(["access_token"]),
    "X051 text": lambda: json_reply("access_token"),
    "X051 null": lambda: json_reply(None),
    "X051 NaN": lambda: raw_json('{"access_token": NaN}'),
    "X051 broken": lambda: raw_json('{"access_token": '),
    "X051 not UTF-8": lambda: raw_json(b'{"a": "\xff"}'),
    "X051 same key twice": lambda: raw_json('{"access_token": "a", "access_token": "b"}'),
    "X051 nested": lambda: raw_json("[" * 100_000),
}


def no_answer(call: Callable[[], Any]) -> BackendUnavailable:
    with pytest.raises(BackendUnavailable) as caught:
        call()
    assert not isinstance(caught.value, BackendMisbehaved), caught.value
    return caught.value


@pytest.mark.parametrize("row", SILENCE)
@pytest.mark.parametrize("path", [DISCOVERY, "/jwks", "/token", "/userinfo"])
def test_x047_to_x049_silence_is_an_outage(
    provider: LyingProvider, open_backend: OpenBackend, row: str, path: str
) -> None:
    backend = open_backend(userinfo="always")
    provider.answers[path] = SILENCE[row]()
    started = time.monotonic()

    error = no_answer(lambda: sign_in(backend, provider))

    assert path in str(error)
    assert time.monotonic() - started < 20, "the timeout is 1 s, and 2 s over all"
    assert provider.paths().count("/token") <= 1, "the code was sent again"


@pytest.mark.parametrize("row", NONSENSE)
@pytest.mark.parametrize("path", [DISCOVERY, "/jwks", "/token", "/userinfo"])
def test_x038_x042_x046_x051_nonsense_is_named(
    provider: LyingProvider, open_backend: OpenBackend, row: str, path: str
) -> None:
    backend = open_backend(userinfo="always")
    provider.answers[path] = NONSENSE[row]()

    with pytest.raises(BackendMisbehaved) as caught:
        sign_in(backend, provider)

    assert path in str(caught.value)
    assert provider.paths().count("/token") <= 1, "the code was sent again"


def test_x049_retry_after_is_passed_on(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.answers["/token"] = Reply(503, b"", {"Retry-After": "7"})

    assert no_answer(lambda: sign_in(backend, provider)).retry_after == 7


@pytest.mark.parametrize("wait", ["never", "-1", "99999999", "٧"])
def test_x049_retry_after_is_not_believed_blindly(
    provider: LyingProvider, backend: OauthBackend, wait: str
) -> None:
    provider.answers["/token"] = Reply(503, b"", {"Retry-After": wait.encode().decode("latin-1")})

    assert no_answer(lambda: sign_in(backend, provider)).retry_after in (5, 300)


def test_the_next_sign_in_after_each_trouble_works(provider: LyingProvider, backend: OauthBackend) -> None:
    held(sign_in(backend, provider))
    for make in (reset, cut, lambda: Reply(500), lambda: html_reply("x")):
        provider.answers["/token"] = make()
        with pytest.raises(BackendUnavailable):
            sign_in(backend, provider)
        provider.answers.clear()

        held(sign_in(backend, provider))


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("token_endpoint", "http://idp.example.com/token"),
        ("jwks_uri", "http://idp.example.com/jwks"),
        ("jwks_uri", "http://169.254.169.254/latest/meta-data"),
        ("jwks_uri", "https://169.254.169.254/latest"),
        ("jwks_uri", "http://127.0.0.1:1/jwks"),
        ("jwks_uri", "http://localhost/jwks"),
        ("jwks_uri", "http://[::1]/jwks"),
        ("jwks_uri", "file:///etc/passwd"),
        ("jwks_uri", "data:application/json,{}"),
        ("jwks_uri", "//elsewhere.example.com/jwks"),
        ("jwks_uri", "/jwks"),
        ("jwks_uri", "ISSUER@elsewhere.example.com/jwks"),
        ("jwks_uri", "ISSUER.elsewhere.example.com/jwks"),
        ("jwks_uri", "ISSUER\\@elsewhere.example.com/jwks"),
        ("jwks_uri", "ISSUER/jwks\n"),
        ("jwks_uri", "ISSUER/jwks#fragment"),
        ("jwks_uri", ["ISSUER/jwks"]),
        ("jwks_uri", None),
        ("jwks_uri", ABSENT),
        ("token_endpoint", ABSENT),
        ("token_endpoint", "https://elsewhere.example.com/token"),
        ("userinfo_endpoint", "https://elsewhere.example.com/userinfo"),
        ("authorization_endpoint", ABSENT),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("authorization_endpoint", "http://elsewhere.example.com/authorize"),
        ("authorization_endpoint", "ISSUER/authorize#fragment"),
        ("end_session_endpoint", "javascript:alert(1)"),
    ],
)
def test_x040_x041_x043_endpoints_that_must_not_be_used(
    provider: LyingProvider, backend: OauthBackend, name: str, url: Any
) -> None:
    place = url.replace("ISSUER", provider.issuer) if isinstance(url, str) else url
    provider.metadata_lies = {name: place}

    with pytest.raises(BackendMisbehaved, match=name):
        backend.begin(CALLBACK)

    assert provider.paths() == [DISCOVERY]


def test_x041_hosts_in_the_settings_may_be_asked(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.metadata_lies = {"jwks_uri": "https://keys.example.com/jwks"}

    open_backend(allowed_hosts=["keys.example.com"]).begin(CALLBACK)


def test_x043_query_of_the_authorization_endpoint_is_kept(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    provider.metadata_lies = {"authorization_endpoint": f"{provider.url}/authorize?policy=b2c_1&a=%20b"}

    asked = query_of(backend.begin(CALLBACK).url)

    assert (asked["policy"], asked["a"]) == ("b2c_1", " b")


def test_x044_down_at_start_and_up_later(
    provider: LyingProvider, open_backend: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "FAILURE", 0.0)
    provider.go_down()
    backend = open_backend()

    no_answer(backend.check_health)
    no_answer(lambda: backend.begin(CALLBACK))
    provider.come_up()

    backend.check_health()
    held(sign_in(backend, provider))


def test_x045_down_with_a_warm_cache(
    provider: LyingProvider, backend: OauthBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(sign_in(backend, provider))
    monkeypatch.setattr(cached, "FRESH", 0.0)
    monkeypatch.setattr(cached, "FAILURE", 0.0)
    provider.answers |= {DISCOVERY: Reply(503), "/jwks": Reply(503)}

    held(sign_in(backend, provider))
    monkeypatch.setattr(cached, "KEPT", 0.0)

    no_answer(lambda: sign_in(backend, provider))


class Thief(LoopbackHttp):
    """Another host that would like to have the code and the client's secret."""

    def respond(self, received: Received) -> Reply:
        return json_reply({"access_token": "a", "token_type": "Bearer"})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_x046_redirect_of_the_token_endpoint_is_not_followed(
    provider: LyingProvider, open_backend: OpenBackend, status: int, method: str
) -> None:
    with Thief() as thief:
        provider.answers["/token"] = redirect_reply(f"{thief.url}/token", status)

        with pytest.raises(BackendMisbehaved, match="not followed"):
            sign_in(open_backend(token_endpoint_auth_method=method), provider)

        assert thief.received == []


@pytest.mark.parametrize("status", [200, 400])
def test_x050_an_error_counts_whatever_the_status(
    provider: LyingProvider, relying_party: OauthBackend, status: int
) -> None:
    provider.answers["/token"] = json_reply({"error": "invalid_grant", "access_token": "a"}, status)

    refused(sign_in(relying_party, provider), about="invalid_grant")


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, "invalid_client"), (400, "unauthorized_client"), (400, "invalid_scope"), (401, "?")],
)
def test_a_client_that_the_provider_refuses_is_our_trouble_not_the_persons(
    provider: LyingProvider, relying_party: OauthBackend, status: int, error: str
) -> None:
    provider.answers["/token"] = json_reply(
        {"error": error, "error_description": "bad\x1b[31m\nsecret"}, status
    )

    said = str(no_answer(lambda: sign_in(relying_party, provider)))

    assert "client_secret" in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "lies",
    [
        pytest.param({"id_token": ABSENT}, id="X052 no id_token"),
        pytest.param({"id_token": None}, id="X052 null"),
        pytest.param({"access_token": ABSENT}, id="no access_token"),
        pytest.param({"access_token": ""}, id="empty access_token"),
        pytest.param({"access_token": 7}, id="access_token a number"),
        pytest.param({"access_token": "a\r\nX-Injected: 1"}, id="access_token with a header in it"),
        pytest.param({"token_type": ABSENT}, id="no token_type"),
        pytest.param({"token_type": "mac"}, id="token_type mac"),
        pytest.param({"token_type": ["Bearer"]}, id="token_type a list"),
    ],
)
def test_x052_token_answers_that_lack_something(
    provider: LyingProvider, relying_party: OauthBackend, lies: Claims
) -> None:
    provider.token_lies = lies

    with pytest.raises(BackendMisbehaved):
        sign_in(relying_party, provider)


@pytest.mark.parametrize(
    "id_token", ["", "x", "..", "a.b.c", "a.b.c.d.e", 7, ["a"], {"a": 1}, "é.é.é", "e30.e30.", " e30.e30.AA"]
)
def test_x052_id_tokens_that_are_none(
    provider: LyingProvider, relying_party: OauthBackend, id_token: Any
) -> None:
    provider.token_lies = {"id_token": id_token}

    refused(sign_in(relying_party, provider))


def test_x053_huge_id_token(provider: LyingProvider, relying_party: OauthBackend) -> None:
    provider.token_lies = {"id_token": f"e30.{'A' * 1_000_000}.AA"}
    refused(sign_in(relying_party, provider), about="too long")

    provider.token_lies = {"id_token": f"e30.{'A' * 10_000_000}.AA"}
    with pytest.raises(BackendMisbehaved, match="more than"):
        sign_in(relying_party, provider)


def test_x053_a_big_id_token_is_no_huge_one(provider: LyingProvider, relying_party: OauthBackend) -> None:
    provider.claim_lies = {"groups": [f"group-{number:04d}-{'x' * 30}" for number in range(900)]}

    assert len(held(sign_in(relying_party, provider)).identity.groups) == 900


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


class TlsProvider(LoopbackHttp):
    """Discovery over TLS, and no more."""

    def respond(self, received: Received) -> Reply:
        return json_reply(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
            }
        )


@pytest.fixture
def tls() -> Iterator[Callable[..., TlsProvider]]:
    servers: list[TlsProvider] = []

    def serve(
        authority: trustme.CA, name: str = "127.0.0.1", newest: ssl.TLSVersion | None = None
    ) -> TlsProvider:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        if newest:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = newest
        servers.append(TlsProvider(context))
        return servers[-1]

    yield serve
    for server in servers:
        server.go_down()


def open_tls(server: TlsProvider, ca_file: Path | None) -> OauthBackend:
    trusted = {"ca_file": str(ca_file)} if ca_file else {}
    return open_with(
        read_settings(issuer=server.url, client_id="c", client_secret="s", timeout="2s", **trusted)
    )


def test_tls_with_a_certificate_of_the_given_authority(
    tls: Callable[..., TlsProvider], authority: trustme.CA, ca_file: Path
) -> None:
    backend = open_tls(tls(authority), ca_file)

    assert backend.begin(CALLBACK).url.startswith("https://127.0.0.1:")
    backend.close()


@pytest.mark.parametrize("wrong", ["authority unknown", "name of another"])
def test_tls_that_proves_nothing_is_refused(
    tls: Callable[..., TlsProvider], authority: trustme.CA, ca_file: Path, wrong: str
) -> None:
    """CVE-2024-23656, CVE-2022-31105."""
    name = "127.0.0.1" if wrong == "authority unknown" else "elsewhere.example.com"
    backend = open_tls(tls(authority, name), None if wrong == "authority unknown" else ca_file)

    assert "certificate" in str(no_answer(lambda: backend.begin(CALLBACK))).lower()
    backend.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_of_yesterday_is_refused(
    tls: Callable[..., TlsProvider], authority: trustme.CA, ca_file: Path
) -> None:
    backend = open_tls(tls(authority, newest=ssl.TLSVersion.TLSv1_1), ca_file)

    no_answer(lambda: backend.begin(CALLBACK))
    backend.close()


def test_x040_endpoints_of_an_https_issuer_are_https(
    tls: Callable[..., TlsProvider], authority: trustme.CA, ca_file: Path
) -> None:
    server = tls(authority)
    told = json.loads(server.respond(Received("GET", DISCOVERY, {}, "")).body)
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        lie = {**told, name: told[name].replace("https:", "http:")}
        server.answers[DISCOVERY] = json_reply(lie)
        backend = open_tls(server, ca_file)

        with pytest.raises(BackendMisbehaved, match=name):
            backend.begin(CALLBACK)
        backend.close()
