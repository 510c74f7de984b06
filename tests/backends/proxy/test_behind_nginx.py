"""The nginx file of docs/proxy-header.md, between visitors and a portal that believes it."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.portal_process import PortalProcess
from tests.forward_auth.visitor import Visitor
from tests.upstreams.nginx import Nginx

DOCUMENT = (Path(__file__).parents[3] / "docs" / "proxy-header.md").read_text(encoding="utf-8")
ME = "https://login.example.com/me"
_ADDED = """\
[emolytics]
database = "sqlite:///emolytics.db"
secret_key = { file = "secret_key" }
"""

pytestmark = pytest.mark.needs("nginx")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(found)


def signed(username: str, password: str = "pw") -> tuple[str, str]:
    """What a browser sends to the proxy, which signs people in by itself."""
    return "Authorization", "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def visitor() -> Iterator[Visitor]:
    with PortalProcess(block("toml").replace("[emolytics]\n", _ADDED, 1)) as portal:
        site = block("nginx").replace("127.0.0.1:8000", f"127.0.0.1:{portal.port}")
        proxy = Nginx(site.replace("/etc/nginx/people", "people"), "login.example.com")
        (proxy.directory / "people").write_text("grace:{PLAIN}pw\n")
        with proxy:
            yield Visitor(proxy.port, proxy.ca_file)


def test_who_has_signed_in_there_is_signed_in_here(visitor: Visitor) -> None:
    told = json.loads(visitor.ask(ME, signed("grace")).text)

    assert (told["username"], told["backend"], told["groups"]) == ("grace", "gateway", [])


def test_nobody_else_gets_as_far(visitor: Visitor) -> None:
    assert visitor.ask(ME, ("X-Remote-User", "grace")).status == 401
    assert visitor.ask(ME, signed("grace", "wrong")).status == 401


@pytest.mark.parametrize(
    "forged", [("X-Remote-User", "root"), ("X_Remote_User", "root"), ("x-remote-user", "root")]
)
def test_a_name_of_the_visitors_own_does_not_arrive(visitor: Visitor, forged: tuple[str, str]) -> None:
    assert json.loads(visitor.ask(ME, signed("grace"), forged).text)["username"] == "grace"


@pytest.mark.parametrize("name", ["X-Remote-Groups", "X_Remote_Groups"])
def test_nor_do_groups(visitor: Visitor, name: str) -> None:
    assert json.loads(visitor.ask(ME, signed("grace"), (name, "admins")).text)["groups"] == []
