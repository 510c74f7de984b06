"""With Canaille, an OpenID provider built on Authlib's server side, through pytest-iam."""

from collections.abc import Iterator

import pytest

from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.relying_party import CALLBACK, held, open_with, query_of, read_settings, refused
from tests.upstreams.canaille import LOGIN, PASSWORD, SECRET, Canaille
from tests.upstreams.form_browser import FormBrowser

ANSWERS = {"login": LOGIN, "password": PASSWORD, "answer": "accept"}


@pytest.fixture
def backend(canaille: Canaille) -> Iterator[OauthBackend]:
    table = {"issuer": canaille.issuer, "client_id": "emolytics", "client_secret": SECRET}
    backend = open_with(read_settings(**table, scopes=["profile", "email", "groups"]))
    yield backend
    backend.close()


def test_somebody_signs_in_stays_and_signs_out(canaille: Canaille, backend: OauthBackend) -> None:
    browser, home = FormBrowser(), "https://login.example.com/login"
    begun = backend.begin(CALLBACK)
    answer = query_of(browser.walk(begun.url, CALLBACK, ANSWERS, press="answer"))

    outcome = held(backend.complete(answer, begun.pending))

    assert outcome.identity.issuer == canaille.issuer
    assert (outcome.identity.email, outcome.identity.groups) == ("alice@example.com", ("developers",))
    refused(backend.complete(answer, begun.pending), about="invalid_grant")
    stays = held(backend.revalidate(outcome))
    assert stays.identity == outcome.identity
    url = backend.logout_url(stays, home)
    assert url
    assert query_of(browser.walk(url, home, {}, press="answer")) == {"state": query_of(url)["state"]}


def test_nothing_is_lacking(backend: OauthBackend) -> None:
    assert [finding for finding in backend.diagnose() if not finding.ok] == []
