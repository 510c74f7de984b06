"""Rows X064 to X069 of SECURITY-CASES section 3: flows that are crossed, and what each flow is made of.

That a row is single-use and of one browser (K rows, X066's cookie) is the core's to show.
"""

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics.identity import Reason
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import CALLBACK, held, identity, open_oauth, query_of, refused
from tests.upstreams.lying_provider import ABSENT, LyingProvider, b64


@pytest.fixture
def other_provider() -> Iterator[LyingProvider]:
    with LyingProvider() as provider:
        yield provider


def test_x064_mixup(provider: LyingProvider, other_provider: LyingProvider, backend: OauthBackend) -> None:
    """The browser began at one provider and comes back with a code of another."""
    other = open_oauth(other_provider)
    mine, theirs = backend.begin(CALLBACK), other.begin(CALLBACK)
    answer = other_provider.answer(theirs.url)
    provider.received.clear()

    refused(backend.complete(answer, mine.pending), about="state")
    refused(
        backend.complete({**answer, "state": mine.pending["state"]}, mine.pending), about="another issuer"
    )

    assert provider.received == []
    other.close()


def test_x065_two_tabs(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.add("bob")
    first, second = backend.begin(CALLBACK), backend.begin(CALLBACK)
    answers = provider.answer(first.url, "ada"), provider.answer(second.url, "bob")

    assert identity(backend.complete(answers[1], second.pending)).username == "bob"
    assert identity(backend.complete(answers[0], first.pending)).username == "ada"


@pytest.mark.parametrize("mine", ["state", "verifier", "nonce"])
def test_x065_each_flow_needs_all_that_is_its_own(
    provider: LyingProvider, backend: OauthBackend, mine: str
) -> None:
    first, second = backend.begin(CALLBACK), backend.begin(CALLBACK)
    answer = provider.answer(first.url)

    refused(backend.complete(answer, {**first.pending, mine: second.pending[mine]}))


def test_x066_a_flow_of_one_provider_is_none_of_another(
    provider: LyingProvider, other_provider: LyingProvider, backend: OauthBackend
) -> None:
    other = open_oauth(other_provider)
    begun = backend.begin(CALLBACK)
    answer = provider.answer(begun.url)

    refused(other.complete(answer, begun.pending), about="another issuer")

    assert "/token" not in other_provider.paths()
    other.close()


def test_x067_pkce(provider: LyingProvider, backend: OauthBackend) -> None:
    """CVE-2024-23647: the verifier goes out whatever the provider makes of it."""
    begun = backend.begin(CALLBACK)
    asked = query_of(begun.url)
    held(backend.complete(provider.answer(begun.url), begun.pending))

    verifier = next(received for received in provider.received if received.path == "/token").form[
        "code_verifier"
    ]
    assert asked["code_challenge_method"] == "S256"
    assert asked["code_challenge"] == b64(hashlib.sha256(verifier.encode()).digest())
    assert 43 <= len(verifier) <= 128
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", verifier)
    assert verifier not in begun.url


def test_x068_state_entropy(backend: OauthBackend) -> None:
    begun = [backend.begin(CALLBACK).pending for _ in range(2000)]

    for name in ("state", "nonce", "verifier"):
        values = [pending[name] for pending in begun]
        assert len(set(values)) == len(values)
        assert min(map(len, values)) >= 22, "22 letters and digits are 130 bits"
    assert len({value for pending in begun for value in pending.values()}) == 3 * 2000 + 1


def test_x069_redirect_uri_is_the_same_in_both_requests(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    begun = backend.begin(CALLBACK)
    held(backend.complete(provider.answer(begun.url), begun.pending))

    assert query_of(begun.url)["redirect_uri"] == CALLBACK
    assert provider.received[-2].form["redirect_uri"] == CALLBACK


def test_a_stolen_code_is_of_no_use_without_its_verifier(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    """CVE-2022-39222, RFC 9700 section 4.5."""
    victim, thief = backend.begin(CALLBACK), backend.begin(CALLBACK)
    stolen = provider.answer(victim.url)["code"]
    own = provider.answer(thief.url)

    refused(backend.complete({**own, "code": stolen}, thief.pending), about="invalid_grant")


def test_an_answer_counts_once(provider: LyingProvider, backend: OauthBackend) -> None:
    begun = backend.begin(CALLBACK)
    answer = provider.answer(begun.url)
    held(backend.complete(answer, begun.pending))

    refused(backend.complete(answer, begun.pending), about="invalid_grant")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("access_denied", Reason.NOT_ALLOWED),
        ("unmet_authentication_requirements", Reason.NOT_ALLOWED),
        ("login_required", Reason.SIGN_IN_AGAIN),
        ("interaction_required", Reason.SIGN_IN_AGAIN),
        ("consent_required", Reason.SIGN_IN_AGAIN),
        ("invalid_request", Reason.BAD_CALLBACK),
        ("anything\x1b[31m\nelse", Reason.BAD_CALLBACK),
        ("", Reason.BAD_CALLBACK),
    ],
)
def test_errors_that_the_provider_sends(
    provider: LyingProvider, relying_party: OauthBackend, error: str, reason: Reason
) -> None:
    provider.callback_lies = {"error": error, "error_description": "<b>why</b>\r\n" * 100}

    begun = relying_party.begin(CALLBACK)
    denied = refused(relying_party.complete(provider.answer(begun.url), begun.pending), reason)

    assert denied.detail.isprintable()
    assert len(denied.detail) < 400
    assert denied.message == ""
    assert provider.paths() == []


@pytest.mark.parametrize(
    "error", ["temporarily_unavailable", "server_error", "unauthorized_client", "invalid_scope"]
)
def test_errors_that_are_not_about_the_person(
    provider: LyingProvider, relying_party: OauthBackend, error: str
) -> None:
    provider.callback_lies = {"error": error, "code": ABSENT}
    begun = relying_party.begin(CALLBACK)

    with pytest.raises(BackendUnavailable, match=error) as caught:
        relying_party.complete(provider.answer(begun.url), begun.pending)

    assert not isinstance(caught.value, BackendMisbehaved)


@pytest.mark.parametrize("code", ["", "x" * 8001, "a b\n", "é", "a\0b"])
def test_codes_that_no_provider_makes_are_not_sent(
    provider: LyingProvider, relying_party: OauthBackend, code: str
) -> None:
    begun = relying_party.begin(CALLBACK)
    answer = {**provider.answer(begun.url), "code": code}

    refused(relying_party.complete(answer, begun.pending), about="code")

    assert provider.paths() == []


def test_a_bad_callback_is_bad_though_the_provider_is_down(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    provider.go_down()

    refused(open_backend().complete({"state": "x", "code": "y"}, {"state": "z"}), about="state")
    refused(open_backend().complete({}, {}), about="state")


def test_scopes_are_those_of_the_settings_and_no_more(open_backend: OpenBackend) -> None:
    """ASVS 10.2.3."""
    backend = open_backend(
        scopes=["openid", "groups"], authorize_params={"hd": "example.com", "prompt": "consent"}
    )

    asked = query_of(backend.begin(CALLBACK).url)

    assert asked["scope"] == "openid groups"
    assert (asked["hd"], asked["prompt"]) == ("example.com", "consent")


def test_many_at_once_share_connections_keys_and_metadata(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    people = [f"person-{number}" for number in range(40)]
    for login in people:
        provider.add(login)
    begun = {}

    def walk(login: str) -> str:
        begun[login] = backend.begin(CALLBACK)
        answer = provider.answer(begun[login].url, login)
        return identity(backend.complete(answer, begun[login].pending)).username

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(walk, people)) == people

    assert provider.paths().count("/jwks") == 1
    assert provider.paths().count("/.well-known/openid-configuration") == 1
    assert len(provider.connections) <= 10


def test_in_steady_state_a_sign_in_costs_one_request(provider: LyingProvider, backend: OauthBackend) -> None:
    for _ in range(3):
        provider.received.clear()
        begun = backend.begin(CALLBACK)
        held(backend.complete(provider.answer(begun.url), begun.pending))

    assert provider.paths() == ["/token"]
