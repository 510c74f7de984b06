"""Rows X055 to X063 of SECURITY-CASES section 3: UserInfo, and claims that mean more than they may.

X061 (a name that somebody else has here) is for the core; here the identity is (issuer, subject) and no more.
"""

import time
from typing import Any

import pytest

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics.identity import Reason
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import held, identity, refused, sign_in
from tests.upstreams.loopback_http import Reply, html_reply, json_reply
from tests.upstreams.lying_provider import ABSENT, Claims, LyingProvider


@pytest.mark.parametrize(
    "sub", ["sub-of-eve", ABSENT, "", None, ["sub-of-ada"], "SUB-OF-ADA", "sub-of-ada "], ids=repr
)
def test_x055_x056_userinfo_about_another(
    provider: LyingProvider, open_backend: OpenBackend, sub: Any
) -> None:
    provider.userinfo_lies = {"sub": sub}

    refused(sign_in(open_backend(userinfo="always"), provider), about="another subject")


def test_x057_userinfo_that_fails_is_not_passed_over(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    """Documented in docs/oidc-checks.md: claims that were asked for are not silently missing."""
    backend = open_backend(userinfo="always")

    provider.answers["/userinfo"] = html_reply("sign in to the network")
    with pytest.raises(BackendMisbehaved):
        sign_in(backend, provider)
    provider.answers["/userinfo"] = Reply(500)
    with pytest.raises(BackendUnavailable):
        sign_in(backend, provider)
    provider.answers["/userinfo"] = json_reply({"error": "invalid_token"}, 401)
    refused(sign_in(backend, provider), Reason.SIGN_IN_AGAIN)


def test_userinfo_is_asked_only_where_claims_are_missing(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    held(sign_in(open_backend(), provider))
    assert "/userinfo" not in provider.paths()

    provider.claim_lies = {"groups": ABSENT}
    assert held(sign_in(open_backend(), provider)).identity.groups == ("staff",)
    assert provider.paths().count("/userinfo") == 1

    assert held(sign_in(open_backend(userinfo="never"), provider)).identity.groups == ()
    assert provider.paths().count("/userinfo") == 1


def test_x058_the_id_token_goes_before_userinfo(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.userinfo_lies = {"groups": ["admins"], "email": "root@example.com", "preferred_username": "root"}

    ada = identity(sign_in(open_backend(userinfo="always"), provider))

    assert (ada.username, ada.email, ada.groups) == ("ada", "ada@example.com", ("staff",))


def test_x058_an_address_is_not_verified_by_what_is_said_of_another(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    provider.claim_lies = {"email": "boss@example.com", "email_verified": ABSENT}

    ada = identity(sign_in(open_backend(userinfo="always"), provider))

    assert (ada.email, ada.email_verified) == ("boss@example.com", False)


def test_x058_the_same_address_may_be_verified_by_userinfo(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    provider.claim_lies = {"email_verified": ABSENT}

    assert identity(sign_in(open_backend(), provider)).email_verified


@pytest.mark.parametrize("verified", [False, ABSENT, None, "false", "true", 1, 0, [True]], ids=repr)
def test_x059_email_unverified(provider: LyingProvider, open_backend: OpenBackend, verified: Any) -> None:
    """CVE-2026-33175: the text "true" is not true."""
    provider.add("eve", email="ada@example.com", email_verified=verified)

    eve = identity(sign_in(open_backend(userinfo="never"), provider, "eve"))

    assert (eve.subject, eve.email, eve.email_verified) == ("sub-of-eve", "ada@example.com", False)


@pytest.mark.parametrize("verified", [False, ABSENT, "true"], ids=repr)
def test_x059_a_domain_is_proven_only_by_a_verified_address(
    provider: LyingProvider, open_backend: OpenBackend, verified: Any
) -> None:
    provider.add("eve", email="eve@example.com", email_verified=verified)

    refused(sign_in(open_backend(allowed_domains=["example.com"]), provider, "eve"), Reason.NOT_ALLOWED)


@pytest.mark.parametrize(
    "email",
    [
        "a@evil.example@example.test",
        "a\uff20example.test",
        "a@example.test\n",
        "a@example.test\0",
        " a@example.test",
        "a@example.test ",
        "a@evil.example,b@example.test",
        "a@example.test.evil.example",
        "a@notexample.test",
        "a@sub.example.test",
        "a@example.test.",
        "@example.test",
        "example.test",
        "a@",
        "a@example\u3002test",
        "a@ex\u0430mple.test",
        "<a@example.test>",
        '"a@evil.example"@example.test',
        "a@[127.0.0.1]",
        "a@-",
        f"{'a' * 300}@example.test",
        ["a@example.test"],
        {"address": "a@example.test"},
        7,
        None,
    ],
    ids=repr,
)
def test_x060_email_multi_at(provider: LyingProvider, open_backend: OpenBackend, email: Any) -> None:
    """CVE-2026-40574."""
    provider.add("eve", email=email)

    refused(sign_in(open_backend(allowed_domains=["example.test"]), provider, "eve"), Reason.NOT_ALLOWED)


@pytest.mark.parametrize(
    ("domain", "email"),
    [
        ("example.test", "a@example.test"),
        ("Example.Test", "a@EXAMPLE.test"),
        ("bücher.example", "a@xn--bcher-kva.example"),
    ],
)
def test_x060_the_domain_itself(
    provider: LyingProvider, open_backend: OpenBackend, domain: str, email: str
) -> None:
    provider.add("bob", email=email)

    held(sign_in(open_backend(allowed_domains=["other.example", domain]), provider, "bob"))


@pytest.mark.parametrize(
    "stated",
    [ABSENT, None, "", "evil.example", ["example.com"], "example.com.evil.example", "xexample.com"],
    ids=repr,
)
def test_x060_a_claim_for_the_domain(provider: LyingProvider, open_backend: OpenBackend, stated: Any) -> None:
    backend = open_backend(allowed_domains=["example.com"], claims={"domain": "hd"}, userinfo="never")
    provider.add("eve", hd=stated)
    provider.add("bob", hd="example.com", email=ABSENT)

    refused(sign_in(backend, provider, "eve"), Reason.NOT_ALLOWED)
    held(sign_in(backend, provider, "bob"))


def test_x061_names_are_not_the_identity(provider: LyingProvider, backend: OauthBackend) -> None:
    """ASVS 10.5.2: names and addresses swapped between two people change nothing about who they are."""
    provider.add("bob")
    before = [identity(sign_in(backend, provider, login)) for login in ("ada", "bob")]
    ada, bob = provider.people["ada"], provider.people["bob"]
    for name in ("preferred_username", "email", "name"):
        ada[name], bob[name] = bob[name], ada[name]

    after = [identity(sign_in(backend, provider, login)) for login in ("ada", "bob")]

    assert [who.subject for who in before] == [who.subject for who in after] == ["sub-of-ada", "sub-of-bob"]
    assert [who.username for who in after] == ["bob", "ada"]


@pytest.mark.parametrize(
    ("groups", "result"),
    [
        pytest.param("staff", ("staff",), id="one text"),
        pytest.param("staff,admins", ("staff,admins",), id="a text is one name"),
        pytest.param([], (), id="none"),
        pytest.param(None, (), id="null"),
        pytest.param(7, (), id="a number"),
        pytest.param(True, (), id="true"),
        pytest.param(["a", ["admins"], 7, None, True, ""], ("a",), id="odd members"),
        pytest.param([{"name": "a", "id": 1}, {"id": "admins"}, {"name": ["b"]}], ("a",), id="objects"),
        pytest.param({"a": {"org": "x"}, "b": {}}, ("a", "b"), id="keyed by name"),
        pytest.param(["a", "b", "a"], ("a", "b"), id="twice"),
        pytest.param(["a\0", "b\n", "\ud800", "x" * 256, "ok"], ("ok",), id="not printable or too long"),
        pytest.param(
            ["Gruppe Ä 日本", "a,b", "x y", "<b>"], ("Gruppe Ä 日本", "a,b", "x y", "<b>"), id="odd names"
        ),
    ],
)
def test_x062_groups_types(
    provider: LyingProvider, open_backend: OpenBackend, groups: Any, result: tuple[str, ...]
) -> None:
    provider.add("eve", groups=groups)

    assert identity(sign_in(open_backend(userinfo="never"), provider, "eve")).groups == result


def test_x062_more_groups_than_anybody_has(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.claims_in_id_token = False
    provider.add("eve", groups=[f"g{number}" for number in range(100_000)])
    started = time.monotonic()

    groups = identity(sign_in(open_backend(), provider, "eve")).groups

    assert groups == tuple(f"g{number}" for number in range(1000))
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param(
            "<script>alert(1)</script>", "<script>alert(1)</script>", id="markup is the page's to escape"
        ),
        pytest.param("Ada\r\nSet-Cookie: x\0\x1b[31m", "Ada Set-Cookie: x [31m", id="control characters"),
        pytest.param("Ada \u202eecalevoL\u200b", "Ada ecalevoL", id="direction"),
        pytest.param("  Jörg   山田 😀 O'Brien ", "Jörg 山田 😀 O'Brien", id="a name"),
        pytest.param("x" * 20_000, "x" * 255, id="long"),
        pytest.param("\ud800", "", id="lone surrogate"),
        pytest.param(["Ada"], "", id="a list"),
        pytest.param({"given": "Ada"}, "", id="an object"),
        pytest.param(None, "", id="null"),
    ],
)
def test_x063_claims_html(provider: LyingProvider, open_backend: OpenBackend, name: Any, shown: str) -> None:
    provider.add("eve", name=name, preferred_username=name)

    eve = identity(sign_in(open_backend(userinfo="never"), provider, "eve"))

    assert eve.display_name == shown
    assert eve.username == (shown or "eve@example.com")
    for text in (eve.display_name, eve.username):
        text.encode()


def test_x063_a_name_of_a_megabyte(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.claims_in_id_token = False
    provider.add("eve", name="x" * 1_000_000)

    assert identity(sign_in(open_backend(), provider, "eve")).display_name == "x" * 255


@pytest.mark.parametrize(
    ("claims", "mapping", "username"),
    [
        pytest.param({}, {"username": "nickname"}, "eve@example.com", id="missing: the address"),
        pytest.param({"email": ABSENT}, {"username": ""}, "sub-of-eve", id="no address: the subject"),
        pytest.param({"who": {"login": "eve2"}}, {"username": "who.login"}, "eve2", id="nested"),
        pytest.param(
            {"https://a.example/login": "e"}, {"username": "https://a.example/login"}, "e", id="dots in it"
        ),
        pytest.param({"who": "eve"}, {"username": "who.login"}, "eve@example.com", id="no object there"),
    ],
)
def test_claims_are_read_where_the_settings_say(
    provider: LyingProvider, open_backend: OpenBackend, claims: Claims, mapping: Claims, username: str
) -> None:
    provider.add("eve", **claims)

    outcome = sign_in(open_backend(claims=mapping, userinfo="never"), provider, "eve")

    assert identity(outcome).username == username


def test_groups_of_nested_claims(provider: LyingProvider, open_backend: OpenBackend) -> None:
    provider.add("eve", realm_access={"roles": ["a", "b"]})
    backend = open_backend(claims={"groups": "realm_access.roles"})

    assert identity(sign_in(backend, provider, "eve")).groups == ("a", "b")


@pytest.mark.parametrize(
    "groups",
    [[], ABSENT, None, "admin", ["admins2", "ADMINS", "admins ", "xadmins"], [["admins"]], {"x": "admins"}],
)
def test_required_groups_are_whole_names(
    provider: LyingProvider, open_backend: OpenBackend, groups: Any
) -> None:
    """CVE-2018-7206, CVE-2022-31027, GHSA-55m3-44xf-hg4h."""
    backend = open_backend(required_groups=["admins", "operators"], userinfo="never")
    provider.add("eve", groups=groups)
    provider.add("bob", groups=["staff", "operators"])

    denied = refused(sign_in(backend, provider, "eve"), Reason.NOT_ALLOWED, "required_groups")

    assert (denied.subject, denied.credential_proven) == ("sub-of-eve", True)
    assert denied.message
    held(sign_in(backend, provider, "bob"))


def test_another_claim_may_be_the_subject(provider: LyingProvider, open_backend: OpenBackend) -> None:
    backend = open_backend(claims={"subject": "oid"})
    provider.add("eve", oid="0000-eve")

    assert identity(sign_in(backend, provider, "eve")).subject == "0000-eve"
    refused(sign_in(backend, provider, "ada"), about="sub")
