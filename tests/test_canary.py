"""A marker in every secret, the portal at its most talkative, good and bad days; then the markers are looked for.

ASVS 16.2.5, 10.1.1, 14.2.1; CVE-2020-17511, CVE-2024-9014, CVE-2024-39315, CVE-2020-15105, CVE-2019-16109. The portal
is a process of its own, with local accounts, a directory, a provider, API tokens and HTTP Basic.
"""

import base64
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import psutil  # type: ignore[import-untyped]
import pytest
import requests
from itsdangerous import base64_decode

from tests.browser.portal_process import EMOLYTICS, PortalProcess
from tests.upstreams.loopback_http import json_reply
from tests.upstreams.lying_provider import LyingProvider
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD as DIRECTORY_PASSWORD

KEY, OLDER_KEY = "canary-key-9f2c71d05be84a36", "canary-older-key-77aa01bd4c"
PASSWORD, NEW_PASSWORD = "canary-heron-over-seven-locks", "canary-otter-under-nine-bridges"
WRONG = "canary-wrong-5d1e"
SETTINGS = """\
[emolytics]
public_url = "{url}"
database = "sqlite:///emolytics.db"
secret_key = ["{key}", "{older}"]
hashing = {{ cost = 4 }}

[emolytics.session]
revalidate = "1s"

[backends.local]
type = "local"
basic = true

[backends.corp]
type = "ldap"
servers = ["{directory.tls_url}"]
ca_file = "{directory.ca_file}"
bind_dn = "{directory.service_dn}"
bind_password = "{directory.service_password}"
user_base = "{directory.people_base}"
timeout = "1s"

[backends.sso]
type = "oauth"
issuer = "{provider.issuer}"
client_id = "{provider.client_id}"
client_secret = "{provider.client_secret}"
scopes = ["openid", "profile", "email", "offline_access"]
timeout = "1s"

[backends.tokens]
type = "token"
"""
TALKATIVE = """\
import logging, sys
from emolytics import logs
configure = logs.configure
def talkative(level=logging.DEBUG):
    configure(logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
logs.configure = talkative
from emolytics.commands import main
sys.argv[0] = "emolytics"
main()
"""


class Talkative(PortalProcess):
    """`emolytics run`, with every library at the level DEBUG."""

    def __init__(self, directory: OpenLDAP, provider: LyingProvider) -> None:
        super().__init__()
        self.settings = SETTINGS.format(
            url=self.url, key=KEY, older=OLDER_KEY, directory=directory, provider=provider
        )

    def command(self) -> tuple[str, ...]:
        return sys.executable, "-c", TALKATIVE, "run", "--port", str(self.port)


class Person:
    """A browser that notes what it was shown and where it was sent, and which secrets it was given."""

    def __init__(self, portal: Talkative) -> None:
        self._portal = portal
        self._web = requests.Session()
        self.shown: list[str] = []
        self.addresses: list[str] = []

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        url = urljoin(self._portal.url, path)
        answer = self._web.request(method, url, allow_redirects=False, timeout=20, **options)  # type: ignore[arg-type]
        headers = {key: value for key, value in answer.headers.items() if key != "Set-Cookie"}
        self.shown.append(f"{headers}\n{answer.text}")
        self.addresses += [url, answer.headers.get("Location", "")]
        return answer

    def form(self, path: str, page: str = "/login", **fields: str) -> requests.Response:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.ask("GET", page).text)
        assert token, f"no form on {page}"
        return self.ask("POST", path, data={"csrf_token": token[1], **fields})

    def sign_in(self, name: str, password: str) -> int:
        return self.form("/login", username=name, password=password, remember="1").status_code

    def by_provider(self, provider: LyingProvider) -> requests.Response:
        leaving = self.form("/login/sso")
        return self.ask("GET", "/login/sso/callback", params=provider.answer(leaving.headers["Location"]))

    def secrets(self) -> Iterator[str]:
        """The values of the cookies, and the session's own name inside them."""
        for cookie in self._web.cookies:
            value = str(cookie.value)
            yield value
            if cookie.name == "emolytics":
                packed = base64_decode(value.lstrip(".").split(".")[0])
                content = zlib.decompress(packed) if value.startswith(".") else packed
                yield json.loads(content)["_user_id"]


class Day:
    """All that happened, and what must be found nowhere."""

    def __init__(self, portal: Talkative, people: list[Person], secrets: set[str], said: list[str]) -> None:
        self.portal, self.people, self.secrets, self.said = portal, people, secrets, said

    def found_in(self, text: str) -> list[str]:
        forms = {
            secret: (secret, base64.b64encode(secret.encode()).decode().rstrip("="))
            for secret in self.secrets
        }
        return [secret for secret, spellings in forms.items() if any(one in text for one in spellings)]


@contextmanager
def echoing(provider: LyingProvider, person: Person) -> Iterator[None]:
    """The provider refuses, and repeats in its refusal what it was given."""
    secret = base64.b64encode(f"{provider.client_id}:{provider.client_secret}".encode()).decode()
    told = {"error": "invalid_grant", "error_description": f"{provider.client_secret} {secret}"}
    provider.answers["/token"] = json_reply(told, 400)
    yield
    provider.come_up()


@pytest.fixture(scope="module")
def day(start_openldap: Callable[..., OpenLDAP]) -> Iterator[Day]:
    directory = start_openldap()
    with LyingProvider() as provider, Talkative(directory, provider) as portal:
        provider.refresh_tokens = True
        portal.add_user("ada", PASSWORD)
        ada, alice, grace, mallory = people = [Person(portal) for _ in range(4)]
        said: list[str] = []
        secrets: set[str] = set()

        for name, password in (("ada", WRONG), ("nobody", WRONG), ("alice", WRONG), ("a\0", WRONG)):
            assert mallory.sign_in(name, password) == 401
        mallory.ask("GET", "/me", headers={"Authorization": "Basic " + b64(f"ada:{WRONG}")})
        mallory.ask("GET", "/me", headers={"Authorization": f"Bearer emolytics_{WRONG}"})
        mallory.ask(
            "POST", "/login", data=f'{{"password": "{WRONG}', headers={"Content-Type": "application/json"}
        )
        mallory.ask("POST", "/login", data={"username": "ada", "password": [WRONG, PASSWORD]})

        assert ada.sign_in("ada", PASSWORD) == 303
        secrets |= set(ada.secrets())
        made = ada.form("/account/tokens", "/account", name="nightly", days="9")
        (token,) = re.findall(r"emolytics_\w+", made.text)
        ada.shown.pop()  # the one page that shows it, once
        assert ada.ask("GET", "/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert ada.ask("GET", "/me", headers={"Authorization": "Basic " + b64(f"ada:{PASSWORD}")}).ok
        ada.form("/account/password", "/account", current_password=WRONG, new_password=NEW_PASSWORD)
        ada.form("/account/password", "/account", current_password=PASSWORD, new_password="password1234")
        ada.form("/account/password", "/account", current_password=PASSWORD, new_password=NEW_PASSWORD)
        assert alice.sign_in("alice", DIRECTORY_PASSWORD) == 303
        secrets |= set(alice.secrets())
        assert grace.by_provider(provider).status_code == 303
        secrets |= set(grace.secrets())
        with echoing(provider, mallory):
            assert mallory.by_provider(provider).status_code in {400, 502, 503}
        provider.answers["/token"] = json_reply([provider.client_secret], 500)
        assert mallory.by_provider(provider).status_code in {502, 503}
        provider.come_up()
        provider.claim_lies["iss"] = "https://evil.example"
        assert mallory.by_provider(provider).status_code == 400
        provider.claim_lies.clear()
        with directory.killed():
            mallory.sign_in("bob", DIRECTORY_PASSWORD)
        said.append(
            portal.run(EMOLYTICS, "explain", "corp", "alice", "--password-stdin", stdin=DIRECTORY_PASSWORD)
        )
        said.append(portal.run(EMOLYTICS, "explain", "local", "ada", "--password-stdin", stdin=NEW_PASSWORD))
        commands = (("check",), ("settings", "show"), ("audit", "--json"), ("session", "list", "--json"))
        said += [portal.run(EMOLYTICS, *words) for words in commands]
        for person in (ada, alice, grace):
            person.ask("GET", "/account")
        secrets |= set(ada.secrets()) | {token, token.removeprefix("emolytics_"), KEY, OLDER_KEY, WRONG}
        secrets |= {PASSWORD, NEW_PASSWORD, DIRECTORY_PASSWORD}
        secrets |= {directory.service_password, provider.client_secret, *provider.access, *provider.grants}
        given = (*provider.grants.values(), *provider.access.values())
        secrets |= {grant.refresh_token for grant in given if grant.refresh_token}
        yield Day(portal, people, {one for one in secrets if len(one) > 8}, said)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_day_had_secrets_of_every_kind(day: Day) -> None:
    kinds = ("canary-key", "canary-heron", "canary-wrong", "Reader-Secret", "client-secret-canary")
    for kind in (*kinds, "code-canary", "access-canary", "refresh-canary", "emolytics_"):
        assert [secret for secret in day.secrets if secret.startswith(kind)], kind


def test_ASVS_16_2_5_no_secret_is_in_the_log(day: Day) -> None:
    log = day.portal.log.read_text(errors="replace")

    assert '"level": "debug"' in log
    assert '"event": "denied"' in log
    assert day.found_in(log) == []


def test_no_secret_is_in_a_page_or_a_header(day: Day) -> None:
    for person in day.people:
        for shown in person.shown:
            assert day.found_in(shown) == []


def test_ASVS_14_2_1_no_secret_but_the_code_of_the_protocol_is_in_an_address(day: Day) -> None:
    for person in day.people:
        for address in person.addresses:
            assert [one for one in day.found_in(address) if not one.startswith("code-canary-")] == []


def test_no_secret_is_in_the_database_in_the_clear(day: Day) -> None:
    """Nor is a password kept between the steps of a sign-in (CVE-2020-15105)."""
    files = [path for path in day.portal.directory.iterdir() if path.name.startswith("emolytics.db")]

    assert files
    for path in files:
        assert day.found_in(path.read_bytes().decode("latin-1")) == [], path.name


def test_no_file_of_the_portal_holds_a_secret_but_the_settings(day: Day) -> None:
    for path in filter(Path.is_file, day.portal.directory.rglob("*")):
        if path.name != "settings.toml":
            assert day.found_in(path.read_bytes().decode("latin-1")) == [], path.name


def test_no_command_says_a_secret(day: Day) -> None:
    assert len(day.said) == 6
    for said in day.said:
        assert day.found_in(said) == []


def test_no_secret_is_in_the_list_of_processes(day: Day) -> None:
    """What every user of the machine can read of a running program."""
    server = psutil.Process(day.portal.pid)

    for process in (server, *server.children(recursive=True)):
        assert day.found_in(" ".join(process.cmdline())) == []


def test_a_secret_that_is_said_would_be_found(day: Day) -> None:
    for secret in day.secrets:
        assert day.found_in(f"Authorization: {secret}")
        assert day.found_in(b64(secret))
