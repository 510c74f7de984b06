"""GitHub: plain OAuth 2.0, an API instead of claims, errors with status 200."""

from collections.abc import Iterator
from typing import Any

import pytest

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics.identity import Outcome, Reason
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.relying_party import (
    CALLBACK,
    held,
    identity,
    open_with,
    query_of,
    read_settings,
    refused,
)
from tests.upstreams.github_shaped import GithubShaped
from tests.upstreams.loopback_http import Reply, json_reply


@pytest.fixture
def github() -> Iterator[GithubShaped]:
    with GithubShaped() as server:
        yield server


def open_github(github: GithubShaped, **settings: Any) -> OauthBackend:
    return open_with(read_settings(**github.settings(), **settings), "github")


@pytest.fixture
def backend(github: GithubShaped) -> Iterator[OauthBackend]:
    backend = open_github(github)
    yield backend
    backend.close()


def sign_in(backend: OauthBackend, github: GithubShaped, login: str = "ada") -> Outcome:
    redirect = backend.begin(CALLBACK)
    return backend.complete(github.answer(redirect.url, login), redirect.pending)


def test_somebody_signs_in(github: GithubShaped, backend: OauthBackend) -> None:
    ada = identity(sign_in(backend, github))

    assert (ada.issuer, ada.subject) == (github.url, "583231")
    assert (ada.username, ada.display_name) == ("ada", "Ada")
    assert (ada.email, ada.email_verified) == ("ada@example.com", True)
    assert ada.groups == ("acme", "acme/platform")


def test_the_request_is_githubs(github: GithubShaped, backend: OauthBackend) -> None:
    asked = query_of(backend.begin(CALLBACK).url)

    assert asked["scope"] == "read:user user:email read:org"
    assert asked["code_challenge_method"] == "S256"
    assert "nonce" not in asked


def test_the_issuer_of_the_preset_is_github_itself() -> None:
    backend = open_with(read_settings(preset="github", client_id="a", client_secret="b"))

    assert backend.begin(CALLBACK).url.startswith("https://github.com/login/oauth/authorize?")
    assert backend._provider.issuer == "https://github.com"
    assert backend.settings.origins == {"https://github.com", "https://api.github.com"}
    assert backend.settings.label == "GitHub"


def test_a_renamed_account_is_the_same_and_a_reused_name_is_not(
    github: GithubShaped, backend: OauthBackend
) -> None:
    before = identity(sign_in(backend, github))
    github.accounts["ada2"] = github.accounts.pop("ada")
    github.accounts["ada2"].login = "ada2"
    github.add("ada", number=999)

    assert identity(sign_in(backend, github, "ada2")).subject == before.subject
    assert identity(sign_in(backend, github, "ada")).subject == "999"


@pytest.mark.parametrize(
    ("emails", "result"),
    [
        pytest.param([], ("", False), id="none"),
        pytest.param(
            [{"email": "a@b.example", "primary": True, "verified": False}],
            ("a@b.example", False),
            id="unverified",
        ),
        pytest.param(
            [{"email": "a@b.example", "primary": False, "verified": True}], ("", False), id="not primary"
        ),
        pytest.param(["a@b.example", None, 7], ("", False), id="junk"),
        pytest.param([{"email": None, "primary": True, "verified": True}], ("", False), id="null"),
        pytest.param(
            [
                {"email": "other@b.example", "primary": False, "verified": True},
                {"email": "a@b.example", "primary": True, "verified": True},
            ],
            ("a@b.example", True),
            id="several",
        ),
    ],
)
def test_only_the_primary_address_counts(
    github: GithubShaped, backend: OauthBackend, emails: list[Any], result: tuple[str, bool]
) -> None:
    github.add("eve", emails=emails)

    eve = identity(sign_in(backend, github, "eve"))

    assert (eve.email, eve.email_verified) == result


def test_a_name_that_was_not_given(github: GithubShaped, backend: OauthBackend) -> None:
    github.add("eve", name=None)

    assert identity(sign_in(backend, github, "eve")).display_name == ""


def test_groups_come_in_pages(github: GithubShaped, backend: OauthBackend) -> None:
    github.page = 10
    github.add("eve", teams=[("acme", f"team-{number}") for number in range(25)])

    assert len(identity(sign_in(backend, github, "eve")).groups) == 25
    assert github.paths().count("/user/teams") == 3


def test_pages_end_though_the_server_says_otherwise(github: GithubShaped, backend: OauthBackend) -> None:
    loop = f'<{github.url}/user/teams?page=2>; rel="next"'
    github.answers["/user/teams"] = json_reply([{"slug": "a", "organization": {"login": "o"}}], Link=loop)

    assert identity(sign_in(backend, github)).groups == ("acme", "o/a")
    assert github.paths().count("/user/teams") == 10


@pytest.mark.parametrize(
    "place", ["https://elsewhere.example.com/page", "http://127.0.0.1:9/page", "file:///etc/passwd"]
)
def test_pages_elsewhere_are_not_followed(github: GithubShaped, backend: OauthBackend, place: str) -> None:
    github.answers["/user/teams"] = json_reply([], Link=f'<{place}>; rel="next"')

    with pytest.raises(BackendMisbehaved):
        sign_in(backend, github)


def test_what_is_not_mapped_is_not_asked(github: GithubShaped) -> None:
    backend = open_github(github, claims={"groups": "", "email": ""})

    assert identity(sign_in(backend, github)).groups == ()
    assert github.paths() == ["/login/oauth/access_token", "/user"]
    backend.close()


def test_required_groups_may_name_a_team(github: GithubShaped) -> None:
    backend = open_github(github, required_groups=["acme/platform"])
    github.add("eve", orgs=["acme"], teams=[("acme", "platform2"), ("evil", "platform")])

    held(sign_in(backend, github, "ada"))
    refused(sign_in(backend, github, "eve"), Reason.NOT_ALLOWED)
    backend.close()


@pytest.mark.parametrize(
    "user", [{"id": True}, {"id": None}, {"id": []}, {"id": ""}, {"id": 1.5}, {}, {"id": {"a": 1}}]
)
def test_an_account_without_an_id_is_nobody(
    github: GithubShaped, backend: OauthBackend, user: dict[str, Any]
) -> None:
    github.answers["/user"] = json_reply({"login": "ada", **user})

    refused(sign_in(backend, github), about="sub")


def test_errors_with_status_200_are_errors(github: GithubShaped, backend: OauthBackend) -> None:
    begun = backend.begin(CALLBACK)
    answer = github.answer(begun.url)
    held(backend.complete(answer, begun.pending))

    refused(backend.complete(answer, begun.pending), about="bad_verification_code")


@pytest.mark.parametrize("error", ["incorrect_client_credentials", "redirect_uri_mismatch"])
def test_what_is_wrong_with_the_registration_is_our_trouble(
    github: GithubShaped, backend: OauthBackend, error: str
) -> None:
    github.answers["/login/oauth/access_token"] = json_reply({"error": error})

    with pytest.raises(BackendUnavailable, match=error):
        sign_in(backend, github)


@pytest.mark.parametrize("path", ["/user", "/user/emails", "/user/orgs", "/user/teams"])
def test_an_api_that_fails_is_an_outage(github: GithubShaped, backend: OauthBackend, path: str) -> None:
    for answer in (Reply(502), Reply(403), Reply(404), json_reply({"message": "x"}, 403), json_reply("a")):
        github.answers[path] = answer
        with pytest.raises(BackendUnavailable):
            sign_in(backend, github)


def test_the_issuer_in_the_answer_is_compared_as_a_place(github: GithubShaped, backend: OauthBackend) -> None:
    """Without metadata only the origin is known (RFC 9207)."""
    begun = backend.begin(CALLBACK)
    answer = github.answer(begun.url)

    refused(
        backend.complete({**answer, "iss": "https://elsewhere.example.com"}, begun.pending),
        about="another server",
    )
    refused(backend.complete({**answer, "iss": "junk"}, begun.pending), about="another server")
    held(backend.complete({**answer, "iss": f"{github.url}/login/oauth"}, begun.pending))


def test_the_access_token_tells_later_whether_somebody_may_stay(
    github: GithubShaped, backend: OauthBackend
) -> None:
    before = held(sign_in(backend, github))
    github.accounts["ada"].teams = []

    assert identity(backend.revalidate(before)).groups == ("acme",)
    github.tokens.clear()
    refused(backend.revalidate(before), Reason.SIGN_IN_AGAIN)


def test_a_token_that_now_speaks_of_another_ends_the_session(
    github: GithubShaped, backend: OauthBackend
) -> None:
    before = held(sign_in(backend, github))
    github.add("eve")
    for token in github.tokens:
        github.tokens[token] = "eve"

    refused(backend.revalidate(before), Reason.SIGN_IN_AGAIN, "another subject")


def test_expiring_tokens_are_rotated(github: GithubShaped, backend: OauthBackend) -> None:
    github.expiring = True
    first = held(sign_in(backend, github))

    second = held(backend.revalidate(first))

    assert second.retained["refresh_token"] != first.retained["refresh_token"]
    held(backend.revalidate(second))
    refused(backend.revalidate(first), Reason.SIGN_IN_AGAIN, "bad_refresh_token")


def test_there_is_no_way_to_ask_again_or_to_sign_out_there(
    github: GithubShaped, backend: OauthBackend
) -> None:
    assert not backend.can_ask_again
    with pytest.raises(BackendUnavailable):
        backend.begin(CALLBACK, fresh=True)
    assert backend.logout_url(held(sign_in(backend, github)), "https://login.example.com/") is None
    backend.check_health()


def test_a_plain_server_by_its_urls(github: GithubShaped) -> None:
    table = {**github.settings(), "preset": "", "scopes": ["read:user"]}
    backend = open_with(read_settings(**table, claims={"subject": "id", "username": "login", "groups": ""}))

    ada = identity(sign_in(backend, github))

    assert (ada.subject, ada.username, ada.groups) == ("583231", "ada", ())
    assert github.paths() == ["/login/oauth/access_token", "/user"]
    backend.close()
