"""`emolytics check` and `emolytics explain`."""

import threading
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from emolytics.backend import Diagnoses, Finding
from emolytics.identity import Denied
from emolytics_oauth import explanation
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import PUBLIC_URL, open_with, read_settings, sign_in
from tests.upstreams.github_shaped import GithubShaped
from tests.upstreams.loopback_http import Reply, json_reply
from tests.upstreams.lying_provider import LyingProvider


def by_step(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.step: finding for finding in findings}


def failed(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.step: finding for finding in findings if not finding.ok}


def test_it_diagnoses(backend: OauthBackend) -> None:
    assert isinstance(backend, Diagnoses)


def test_what_to_register_is_told(backend: OauthBackend) -> None:
    found = by_step(backend.diagnose())

    assert found["redirect URI to register"].detail == f"{PUBLIC_URL}/login/sso/callback"
    assert found["post-logout redirect URI to register"].detail == f"{PUBLIC_URL}/login"
    assert found["back-channel logout URI to register"].detail == f"{PUBLIC_URL}/login/sso/backchannel-logout"


def test_a_provider_in_order(provider: LyingProvider, backend: OauthBackend) -> None:
    assert failed(backend.diagnose()) == {}
    found = by_step(backend.diagnose())
    assert found["keys"].detail == "3 usable for signatures"
    assert found["sign-out at the provider"].detail == "offered"


@pytest.mark.parametrize(
    ("lies", "step"),
    [
        ({"id_token_signing_alg_values_supported": ["RS512"]}, "signature algorithms"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "client authentication"),
        ({"scopes_supported": ["openid", "email"]}, "scopes"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"response_modes_supported": ["fragment"]}, "response mode"),
        ({"issuer": "https://elsewhere.example.com"}, "metadata"),
    ],
)
def test_what_the_provider_lacks(
    provider: LyingProvider, backend: OauthBackend, lies: dict[str, Any], step: str
) -> None:
    provider.metadata_lies = lies

    found = failed(backend.diagnose())

    assert list(found) == [step]
    assert found[step].detail
    assert found[step].remedy


def test_what_was_found_out_before_is_asked_anew(provider: LyingProvider, backend: OauthBackend) -> None:
    assert failed(backend.diagnose()) == {}
    provider.answers["/jwks"] = Reply(503)

    assert list(failed(backend.diagnose())) == ["keys"]
    provider.go_down()
    assert list(failed(backend.diagnose())) == ["metadata"]


def test_what_the_provider_says_of_itself_cannot_write_on_the_terminal(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    evil = "\x1b]0;owned\x07" * 1000
    provider.metadata_lies = {
        "scopes_supported": [evil],
        "id_token_signing_alg_values_supported": [evil],
        "response_modes_supported": [evil],
    }

    shown = "".join(f"{finding.detail}{finding.remedy}" for finding in backend.diagnose())

    assert shown.isprintable()
    assert len(shown) < 2000


@pytest.mark.parametrize(
    ("date", "ok"),
    [("Mon, 01 Jan 2024 00:00:00 GMT", False), ("Fri, 01 Jan 2100 00:00:00 GMT", False), ("yesterday", True)],
)
def test_clocks_are_compared(provider: LyingProvider, backend: OauthBackend, date: str, ok: bool) -> None:
    provider.answers["/.well-known/openid-configuration"] = json_reply(provider.metadata(), Date=date)

    assert by_step(backend.diagnose())["clock"].ok is ok


def test_plain_oauth(provider: LyingProvider) -> None:
    with GithubShaped() as github:
        backend = open_with(read_settings(**github.settings()), "github")
        assert failed(backend.diagnose()) == {}
        github.answers["/user"] = Reply(404)
        assert list(failed(backend.diagnose())) == ["userinfo_url"]
        backend.close()


@pytest.fixture(autouse=True)
def any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run side by side; an operator's walk has one port, to be registered."""
    monkeypatch.setattr(explanation.Listener.__init__, "__defaults__", (0,))
    monkeypatch.setattr(explanation, "PATIENCE", 5.0)


def walk(
    backend: OauthBackend, provider: LyingProvider, login: str = "ada", **lies: str
) -> Iterator[Finding]:
    """The findings, with a browser that does what the second one asks for."""
    for finding in backend.explain(login, None):
        yield finding
        if finding.step == "waiting for a browser":
            url = finding.detail.removeprefix("open ")
            target = dict(parse_qsl(urlsplit(url).query))["redirect_uri"]
            back = f"{target}?{urlencode({**provider.answer(url), **lies})}"
            threading.Thread(target=visit, args=(back,), daemon=True).start()


def visit(url: str) -> None:
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.status == 200


def test_a_sign_in_is_explained(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.refresh_tokens = True
    found = list(walk(open_backend(userinfo="always"), provider))

    steps = by_step(found)
    assert [finding for finding in found if not finding.ok] == []
    assert steps["redirect URI"].detail.startswith("register http://127.0.0.1:")
    assert steps["tokens"].detail == "access token given, refresh token given, ID token given"
    assert steps["ID token: groups"].detail == '["staff"]'
    assert steps["UserInfo: email"].detail == '"ada@example.com"'
    assert steps["identity"].groups == ("staff",)
    shown = "\n".join(f"{finding}" for finding in found)
    assert "canary" not in shown


def test_the_wrong_person_is_noticed(provider: LyingProvider, backend: OauthBackend) -> None:
    assert list(failed(walk(backend, provider, "bob"))) == ["user name"]


def test_a_refusal_is_explained(provider: LyingProvider, open_backend: OpenBackend) -> None:
    backend = open_backend(required_groups=["admins"])

    assert "required_groups" in failed(walk(backend, provider))["verdict"].detail


def test_a_bad_answer_is_explained(provider: LyingProvider, backend: OauthBackend) -> None:
    assert "state" in failed(walk(backend, provider, state="another"))["verdict"].detail


def test_an_outage_is_explained(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.answers["/token"] = Reply(503)

    assert "503" in failed(walk(backend, provider))["verdict"].detail


def test_nobody_came(provider: LyingProvider, backend: OauthBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "PATIENCE", 0.05)

    assert list(failed(backend.explain("ada", None))) == ["answer"]


def test_a_port_that_is_taken_is_told(backend: OauthBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    with explanation.Listener("/x") as taken:
        port = urlsplit(taken.url).port
        monkeypatch.setattr(explanation.Listener.__init__, "__defaults__", (port,))

        assert list(failed(backend.explain("ada", None))) == ["listener"]


def test_the_listener_takes_forms_too_and_nothing_else() -> None:
    with explanation.Listener("/login/sso/callback") as listener:
        answers: list[int] = []

        def post(path: str) -> None:
            try:
                place = listener.url.replace("/login/sso/callback", path)
                with urllib.request.urlopen(place, data=b"code=a&state=b", timeout=5) as answer:
                    answers.append(answer.status)
            except HTTPError as error:
                answers.append(error.code)
                error.close()

        def browser() -> None:
            post("/elsewhere")
            post("/login/sso/callback")

        thread = threading.Thread(target=browser)
        thread.start()
        assert listener.wait(5) == {"code": "a", "state": "b"}
        thread.join()
    assert answers == [404, 200]


@pytest.mark.parametrize(
    ("lies", "table", "step", "subject"),
    [
        ({"callback_lies": {"iss": "https://elsewhere.example.com"}}, {}, "answer", ""),
        ({"answers": {"/token": json_reply({"error": "invalid_grant"}, 400)}}, {}, "tokens", ""),
        ({"claim_lies": {"nonce": "another"}}, {}, "claims", ""),
        ({}, {"required_groups": ["chiefs"]}, "identity", "sub-of-ada"),
    ],
)
def test_a_denial_says_at_which_step_and_of_whom_as_far_as_is_known(
    provider: LyingProvider,
    open_backend: OpenBackend,
    lies: dict[str, Any],
    table: dict[str, Any],
    step: str,
    subject: str,
) -> None:
    for what, lie in lies.items():
        setattr(provider, what, lie)

    outcome = sign_in(open_backend(**table), provider)

    assert isinstance(outcome, Denied)
    assert (outcome.step, outcome.subject) == (step, subject)
