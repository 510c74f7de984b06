"""`/verify`: what a proxy is told of a visitor, and where it may send those who have to sign in."""

import logging
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from emolytics.errors import StoreUnavailable
from emolytics.schema import sessions, users
from emolytics.user import User
from emolytics.verify import remote_headers
from tests.portal import Portal, post

LOGIN, APP = "https://login.example.com", "https://app.example.com"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
JSON = {"Accept": "application/json"}
NAMES = ("Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups")


def asked(uri: str = "/report?a=1&b=2", origin: str = APP, **more: str) -> dict[str, str]:
    """The headers with which a proxy tells what the visitor asked for."""
    parts = urlsplit(origin)
    return {
        "X-Forwarded-Proto": parts.scheme,
        "X-Forwarded-Host": parts.netloc,
        "X-Forwarded-Uri": uri,
    } | more


@pytest.fixture
def make_gate(make_portal: Callable[..., Portal]) -> Callable[..., Portal]:
    """Makes portals as docs/forward-auth.md sets them up."""

    def make(domain: str = "example.com", **changes: object) -> Portal:
        about = {"public_url": LOGIN, "trusted_proxies": 1, "allowed_redirects": [APP]}
        portal = make_portal(**about | {"session": {"cookie_domain": domain}} | changes)
        portal.add_user("ada", display_name="Ada Lovelace", email="ada@example.com", groups=("staff", "ops"))
        return portal

    return make


@pytest.fixture
def gate(make_gate: Callable[..., Portal]) -> Portal:
    return make_gate()


def signed_in(gate: Portal, username: str = "ada") -> FlaskClient:
    """A client of somebody who has signed in on the portal's own host."""
    client = gate.client()
    for_browser = {"base_url": LOGIN, "headers": {"Referer": f"{LOGIN}/login"}}
    page = client.get("/login", base_url=LOGIN)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token
    form = {"username": username, "password": "quiet-harbour-lantern-47", "csrf_token": token[1]}
    response = client.post("/login", data=form, **for_browser)
    assert response.status_code == 303, response.text
    return client


def verify(client: FlaskClient, query: str = "", **headers: str) -> TestResponse:
    """What a proxy in front of the application gets to hear."""
    return client.get(f"/verify{query}", base_url=APP, headers=asked() | PAGE | headers)


class TestSomebodySignedIn:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_is_named_in_four_headers(self, gate: Portal, method: str) -> None:
        response = signed_in(gate).open("/verify", method=method, base_url=APP, headers=asked())

        assert response.status_code == 200
        assert response.data == b""
        assert [response.headers[name] for name in NAMES] == [
            "ada",
            "Ada Lovelace",
            "ada@example.com",
            "staff,ops",
        ]

    def test_is_not_kept_by_any_cache(self, gate: Portal) -> None:
        assert verify(signed_in(gate)).headers["Cache-Control"] == "no-store"
        assert verify(gate.client()).headers["Cache-Control"] == "no-store"

    def test_has_all_four_headers_even_where_nothing_is_known(self, gate: Portal) -> None:
        gate.add_user("grace")

        response = verify(signed_in(gate, "grace"))

        assert [response.headers[name] for name in NAMES] == ["grace", "grace", "", ""]

    def test_may_pass_with_every_role_asked_for(self, gate: Portal) -> None:
        gate.add_user("grace", roles=("admin", "editor"))
        grace = signed_in(gate, "grace")

        assert verify(grace, "?role=admin").status_code == 200
        assert verify(grace, "?role=admin&role=editor").status_code == 200

    @pytest.mark.parametrize(
        "query", ["?role=admin", "?role=editor&role=admin", "?role=", "?role=%00", "?role=Editor"]
    )
    def test_is_refused_without_one_of_them(self, gate: Portal, query: str) -> None:
        gate.add_user("grace", roles=("editor",))
        grace = signed_in(gate, "grace")

        for headers in ({}, JSON, {"X-Forwarded-Uri": "/verify?role=editor"}):
            response = verify(grace, query, **headers)
            assert response.status_code == 403
            assert "Location" not in response.headers
            assert not any(name in response.headers for name in NAMES)

    def test_is_not_sent_to_the_sign_in_page_for_want_of_a_role(self, gate: Portal) -> None:
        assert verify(signed_in(gate), "?role=admin&redirect=1").status_code == 403

    def test_parameters_that_are_not_known_change_nothing(self, gate: Portal) -> None:
        assert verify(signed_in(gate), "?rd=https://evil.example/&group=admins&x").status_code == 200
        assert verify(gate.client(), "?rd=https://evil.example/&user=ada").status_code == 401

    def test_is_out_at_the_next_request_after_the_session_is_revoked(self, gate: Portal) -> None:
        client = signed_in(gate)
        assert verify(client).status_code == 200

        with gate.core.database.transaction() as connection:
            connection.execute(sessions.delete())

        assert verify(client).status_code == 401

    def test_is_out_at_the_next_request_after_being_disabled(self, gate: Portal) -> None:
        client = signed_in(gate)
        with gate.core.database.transaction() as connection:
            connection.execute(update(users).values(disabled=True))

        assert verify(client).status_code == 401

    def test_keeps_the_session_alive_by_what_is_done_in_the_application(self, gate: Portal) -> None:
        client = signed_in(gate)
        with gate.core.database.transaction() as connection:
            connection.execute(update(sessions).values(last_seen=sessions.c.last_seen - 600))

        verify(client)

        with gate.core.database.read() as connection:
            row = connection.execute(select(sessions)).one()
        assert row.last_seen > row.auth_time - 60

    def test_is_asked_after_when_that_is_due(self, gate: Portal) -> None:
        client = signed_in(gate)
        subject = gate.core.users.identities_of(1)[0].subject
        gate.core.backends["local"].remove_account(subject)  # type: ignore[attr-defined]
        assert verify(client).status_code == 200
        with gate.core.database.transaction() as connection:
            connection.execute(update(sessions).values(revalidate_at=0))

        assert verify(client).status_code == 401


class TestEveryOtherWayIn:
    def test_an_api_token(self, make_gate: Callable[..., Portal]) -> None:
        gate = make_gate(backends={"local": {"type": "local"}, "tokens": {"type": "token"}})
        identity = gate.core.users.identities_of(1)[0]
        issuer = gate.core.token_issuer()
        assert issuer
        token = issuer.create_token(1, identity.id, "nightly", 1).secret

        assert verify(gate.client(), Authorization=f"Bearer {token}").headers["Remote-User"] == "ada"

    def test_a_password_for_scripts(self, make_gate: Callable[..., Portal]) -> None:
        gate = make_gate(backends={"local": {"type": "local", "basic": True}})
        right = "Basic YWRhOnF1aWV0LWhhcmJvdXItbGFudGVybi00Nw=="

        assert verify(gate.client(), Authorization=right).headers["Remote-User"] == "ada"
        wrong = verify(gate.client(), Authorization="Basic YWRhOng=", Accept="*/*")
        assert (wrong.status_code, wrong.headers["WWW-Authenticate"][:5]) == (401, "Basic")

    def test_a_header_of_a_trusted_proxy(self, make_gate: Callable[..., Portal]) -> None:
        backends = {"local": {"type": "local"}, "gateway": {"type": "proxy", "trusted": ["127.0.0.1"]}}
        gate = make_gate(backends=backends)

        assert verify(gate.client(), **{"X-Remote-User": "grace"}).headers["Remote-User"] == "grace"

    @pytest.mark.parametrize(
        "name", [*NAMES, "Remote_User", "X-Remote-User", "X-Forwarded-User", "X-Auth-User"]
    )
    def test_none_is_a_header_of_the_visitors(self, gate: Portal, name: str) -> None:
        """CVE-2026-25119."""
        assert verify(gate.client(), **{name: "ada"}).status_code == 401
        gate.add_user("grace")
        assert verify(signed_in(gate, "grace"), **{name: "ada"}).headers["Remote-User"] == "grace"

    @pytest.mark.parametrize(
        "agent", ["kube-probe/1.29", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Prometheus/2.5"]
    )
    def test_none_is_a_health_check(self, gate: Portal, agent: str) -> None:
        """CVE-2026-34457."""
        assert verify(gate.client(), **{"User-Agent": agent}).status_code == 401

    @pytest.mark.parametrize(
        "uri", ["/healthz", "/verify", "/login", "/emolytics/static/emolytics.css", "/robots.txt"]
    )
    def test_none_is_an_address(self, gate: Portal, uri: str) -> None:
        """CVE-2026-40575."""
        for name in (
            "X-Forwarded-Uri",
            "X-Original-Url",
            "X-Rewrite-Url",
            "X-Original-Uri",
            "X-Auth-Request-Redirect",
        ):
            assert verify(gate.client(), **{name: uri}).status_code == 401

    @pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"])
    def test_none_is_a_method(self, gate: Portal, method: str) -> None:
        assert gate.client().open("/verify", method=method).status_code == 405
        assert verify(gate.client(), **{"X-Forwarded-Method": method}).status_code == 401


class TestAVisitor:
    @pytest.mark.parametrize(
        "headers", [JSON, {"Accept": "*/*"}, {"Accept": "image/avif,*/*"}, {"Accept": ""}]
    )
    def test_that_is_a_program_gets_401_in_json_and_no_page_to_go_to(
        self, gate: Portal, headers: dict[str, str]
    ) -> None:
        response = verify(gate.client(), "?redirect=1", **headers)

        assert response.status_code == 401
        assert response.get_json()["error"] == "authentication_required"
        assert "Location" not in response.headers

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_with_a_browser_gets_401_and_the_page_to_go_to(self, gate: Portal, method: str) -> None:
        response = gate.client().open("/verify", method=method, base_url=APP, headers=asked() | PAGE)

        assert response.status_code == 401
        assert response.location == f"{LOGIN}/login?next=https://app.example.com/report%3Fa%3D1%26b%3D2"
        assert response.content_type.startswith("text/plain")
        assert "Set-Cookie" not in response.headers

    def test_is_sent_there_with_redirect_1(self, gate: Portal) -> None:
        response = verify(gate.client(), "?redirect=1")

        assert response.status_code == 303
        assert response.location == f"{LOGIN}/login?next=https://app.example.com/report%3Fa%3D1%26b%3D2"

    @pytest.mark.parametrize("value", ["", "0", "true", "2", "https://evil.example"])
    def test_is_not_sent_there_with_anything_else(self, gate: Portal, value: str) -> None:
        assert verify(gate.client(), f"?redirect={value}").status_code == 401

    def test_that_sends_a_form_comes_back_to_no_particular_place(self, gate: Portal) -> None:
        response = verify(gate.client(), "?redirect=1", **{"X-Forwarded-Method": "POST"})

        assert response.location == f"{LOGIN}/login"

    @pytest.mark.parametrize(
        "headers",
        [
            asked(origin="https://evil.example"),
            asked(origin="https://app.example.com.evil.example"),
            asked(origin="http://app.example.com"),
            asked(origin="https://app.example.com:8443"),
            asked(origin="https://app.example.com@evil.example"),
            asked("@evil.example/"),
            asked(".evil.example/"),
            asked("https://evil.example/"),
            asked(""),
            asked("/" + "a" * 5000),
            asked("//evil.example/"),
            asked("/\\evil.example"),
            asked("/a\tb"),
            asked("/%00"),
            asked("/x", **{"X-Forwarded-Host": "a b"}),
            asked("/x", **{"X-Forwarded-Host": "[::1"}),
            asked("/x", **{"X-Forwarded-Host": "app.example.com, evil.example"}),
            asked("/x", **{"X-Forwarded-Proto": "javascript"}),
            {"X-Original-Url": f"{APP}/x"},
            {},
        ],
    )
    def test_is_led_back_only_to_where_people_may_be_led(self, gate: Portal, headers: dict[str, str]) -> None:
        client = gate.client()

        response = client.get("/verify", base_url="http://127.0.0.1:8000", headers=PAGE | headers)

        assert response.status_code in {400, 401}
        if response.status_code == 401:
            target = parse_qs(urlsplit(response.location or "").query).get("next", [APP])[0]
            assert (response.location or "").startswith(f"{LOGIN}/login")
            assert urlsplit(target).netloc == "app.example.com"
            assert "evil" not in target.removeprefix(APP).split("/")[0]

    def test_forwarded_headers_change_nothing_without_a_trusted_proxy(
        self, make_gate: Callable[..., Portal]
    ) -> None:
        gate = make_gate(trusted_proxies=0)

        forged = gate.client().get(
            "/verify?redirect=1", headers=PAGE | asked(Forwarded="host=app.example.com")
        )
        plain = gate.client().get("/verify?redirect=1", headers=PAGE)

        assert forged.location == plain.location == f"{LOGIN}/login"

    def test_without_a_public_url_there_is_no_page_to_name(self, make_gate: Callable[..., Portal]) -> None:
        gate = make_gate("", public_url="", trusted_proxies=1)

        response = verify(gate.client(), "?redirect=1")

        assert response.status_code == 401
        assert response.location is None

    def test_is_not_sent_round_in_circles_where_the_cookie_does_not_reach(
        self, make_gate: Callable[..., Portal], caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = make_gate("")

        with caplog.at_level(logging.WARNING):
            response = verify(gate.client(), "?redirect=1")

        assert response.location == f"{LOGIN}/login"
        assert "app.example.com: it does not lie under session.cookie_domain" in caplog.text

    def test_of_an_application_on_our_own_host_needs_no_cookie_domain(
        self, make_gate: Callable[..., Portal]
    ) -> None:
        gate = make_gate("")

        response = gate.client().get("/verify", headers=PAGE | asked("/wiki/", LOGIN))

        assert response.location == f"{LOGIN}/login?next=https://login.example.com/wiki/"

    def test_is_told_of_an_outage_by_neither_200_nor_401(
        self, gate: Portal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = signed_in(gate)

        def gone(*_: object) -> None:
            raise StoreUnavailable("the database did not answer")

        monkeypatch.setattr(gate.core.sessions, "load", gone)

        for headers in (PAGE, JSON):
            response = verify(client, "?redirect=1", **headers)
            assert (response.status_code, response.get_json()["error"]) == (503, "backend_unavailable")


class TestTheWayBack:
    def test_leads_from_the_sign_in_to_the_address_that_was_asked_for(self, gate: Portal) -> None:
        client = gate.client()
        away = verify(client, "?redirect=1").location or ""
        page = client.get(away.removeprefix(LOGIN), base_url=LOGIN)
        fields = dict(re.findall(r'name="(csrf_token|next)" value="([^"]+)"', page.text))

        back = client.post(
            "/login",
            base_url=LOGIN,
            headers={"Referer": away},
            data={
                "username": "ada",
                "password": "quiet-harbour-lantern-47",
                "csrf_token": fields["csrf_token"],
                "next": fields["next"].replace("&amp;", "&"),
            },
        )

        assert (back.status_code, back.location) == (303, f"{APP}/report?a=1&b=2")
        assert verify(client).headers["Remote-User"] == "ada"

    def test_is_open_to_the_form_in_browsers_that_hold_redirects_to_the_policy(self, gate: Portal) -> None:
        policy = gate.client().get("/login", base_url=LOGIN).headers["Content-Security-Policy"]

        assert APP in policy.split("form-action", 1)[1]


class TestTheCookieOfADomain:
    def test_goes_to_all_its_hosts_and_over_https_alone(self, gate: Portal) -> None:
        client = gate.client()
        client.get("/login", base_url=LOGIN)
        cookie = client.get_cookie("__Secure-emolytics", domain="example.com")

        assert cookie
        assert (cookie.secure, cookie.http_only, cookie.same_site) == (True, True, "Lax")
        assert not cookie.origin_only

    def test_ends_everywhere_when_signing_out(self, gate: Portal) -> None:
        client = signed_in(gate)
        page = client.get("/account", base_url=LOGIN).text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token

        client.post("/logout", base_url=LOGIN, data={"csrf_token": token[1]}, headers={"Referer": LOGIN})

        assert verify(client).status_code == 401

    def test_that_remembers_is_of_the_domain_too(self, gate: Portal) -> None:
        assert gate.app.config["REMEMBER_COOKIE_DOMAIN"] == "example.com"
        assert gate.app.config["REMEMBER_COOKIE_NAME"] == "__Secure-emolytics_remember"

    def test_is_of_the_portals_host_alone_without_the_setting(self, make_gate: Callable[..., Portal]) -> None:
        gate = make_gate("")

        assert gate.app.config["SESSION_COOKIE_NAME"] == "__Host-emolytics"
        assert gate.app.config["SESSION_COOKIE_DOMAIN"] is None
        assert "REMEMBER_COOKIE_DOMAIN" not in gate.app.config

    def test_has_no_prefix_over_http_on_loopback(self, make_gate: Callable[..., Portal]) -> None:
        gate = make_gate("test.localhost", public_url="http://login.test.localhost:8000")

        assert gate.app.config["SESSION_COOKIE_NAME"] == "emolytics"
        assert gate.app.config["SESSION_COOKIE_DOMAIN"] == "test.localhost"


def user(**about: object) -> User:
    known: dict[str, object] = {
        "id": 1,
        "username": "ada",
        "display_name": "Ada",
        "email": "",
        "backend": "local",
        "subject": "1",
        "issuer": "local",
        "groups": (),
        "roles": (),
        "auth_time": 0,
    }
    return User(**known | about)  # type: ignore[arg-type]


class TestTheHeaders:
    @pytest.mark.parametrize(
        ("groups", "told"),
        [
            (("a", "b"), "a,b"),
            (("a,admins",), "a%2Cadmins"),
            (("50%", "50%25"), "50%25,50%2525"),
            ((" admins", "admins ", "\tadmins"), "%20admins,admins%20,%09admins"),
            (("\u00a0admins", "\u3000admins"), "%C2%A0admins,%E3%80%80admins"),
            (("",), ""),
            (("cn=a b,ou=groups",), "cn=a b%2Cou=groups"),
            (("größe",), "größe"),
        ],
    )
    def test_no_group_reads_as_another_or_as_two(self, groups: tuple[str, ...], told: str) -> None:
        assert remote_headers(user(groups=groups))["Remote-Groups"].encode("latin-1").decode() == told

    @pytest.mark.parametrize(
        "text", ["Ada\r\nRemote-User: root", "a\0b", "a\x7fb", "a\u2028b", "a\ud800b", "a\x85b"]
    )
    def test_no_header_holds_what_could_end_it(self, text: str) -> None:
        for value in remote_headers(
            user(display_name=text, email=text, username=text, groups=(text,))
        ).values():
            assert not re.search(r"[\x00-\x1f\x7f]", value)
            assert "\N{REPLACEMENT CHARACTER}" in value.encode("latin-1").decode()

    def test_names_are_utf_8(self) -> None:
        told = remote_headers(user(username="zoë", display_name="Zoë Müller 李"))

        assert told["Remote-User"].encode("latin-1") == "zoë".encode()
        assert told["Remote-Name"].encode("latin-1").decode() == "Zoë Müller 李"


def test_signing_out_of_one_host_is_signing_out_of_all(portal: Portal) -> None:
    client = portal.signed_in()
    assert client.get("/verify").status_code == 200

    post(client, "/logout")

    assert client.get("/verify").status_code == 401
