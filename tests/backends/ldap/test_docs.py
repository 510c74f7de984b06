"""The tables in docs/ldap are read as they stand, and sign somebody in where the suite has such a server."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from emolytics.identity import Authenticated
from emolytics_ldap import LdapSettings
from emolytics_ldap.flavors import Flavor
from tests.backends.ldap.conftest import OpenBackend
from tests.upstreams.directory import Directory
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.people import PASSWORD
from tests.upstreams.samba import Samba

PAGES = Path(__file__).parents[3] / "docs" / "ldap"
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
BASES = {OpenLDAP: "dc=example,dc=com", Samba: "DC=corp,DC=example,DC=com"}


def first_table(flavor: str) -> str:
    text = (PAGES / f"{flavor}.md").read_text()
    found = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def on(server: Directory, flavor: str) -> dict[str, Any]:
    """The page's table, with the suite's server and service account in place of the example's."""
    text = first_table(flavor).replace(BASES[type(server)], server.base)
    table: dict[str, Any] = tomllib.loads(text)["backends"]["corp"]
    return table | {
        "servers": [server.tls_url],
        "ca_file": str(server.ca_file),
        "bind_dn": server.service_dn,
        "bind_password": server.service_password,
    }


@pytest.mark.parametrize("flavor", Flavor)
def test_the_table_of_each_page_is_valid(
    flavor: Flavor, openldap: OpenLDAP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LDAP_BIND_PASSWORD", "secret")
    table = tomllib.loads(first_table(flavor))["backends"]["corp"]

    settings = LdapSettings.model_validate({**table, "ca_file": str(openldap.ca_file)})

    assert settings.flavor is flavor
    assert len(settings.servers) > 1


@pytest.mark.parametrize(("flavor", "server"), [("openldap", "openldap"), ("active-directory", "samba")])
def test_the_table_signs_somebody_in(
    request: pytest.FixtureRequest, open_ldap: OpenBackend, flavor: str, server: str
) -> None:
    backend = open_ldap(**on(request.getfixturevalue(server), flavor))

    outcome = backend.authenticate("alice", PASSWORD)

    assert isinstance(outcome, Authenticated)
    assert {"developers", "staff", "everybody"} <= set(outcome.identity.groups)
    assert all(finding.ok for finding in backend.diagnose())


def test_mail_addresses_sign_in_where_the_page_says_so(samba: Samba, open_ldap: OpenBackend) -> None:
    text = (PAGES / "active-directory.md").read_text()
    wanted = re.findall(r'^user_filter = "(.*)"$', text, re.MULTILINE)

    backend = open_ldap(**{**on(samba, "active-directory"), "user_filter": wanted[0]})

    assert backend.authenticate("alice@example.test", PASSWORD)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, heading in LINK.findall(page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not heading or heading in _headings(target), heading


def _headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
