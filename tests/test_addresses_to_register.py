"""What `emolytics check` has an operator register at a provider is what our pages then send there."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from emolytics import Emolytics, create_app
from emolytics.addresses import external_url
from tests.portal import Portal, csrf_token, settings_for
from tests.upstreams.lying_provider import LyingProvider


def settings(tmp_path: Path, provider: LyingProvider, public_url: str) -> dict[str, object]:
    told = settings_for(f"sqlite:///{tmp_path}/emolytics.db", public_url=public_url)
    told["backends"]["sso"] = {"type": "oauth", "issuer": provider.issuer, "client_id": "emolytics"}
    return told


@pytest.mark.parametrize("prefix", [None, "/auth", "/auth/", "/a/b"])
@pytest.mark.parametrize("public_url", ["http://localhost", "http://localhost/portal"])
@pytest.mark.parametrize("host", [False, True], ids=["portal", "host"])
def test_the_addresses_are_those_that_the_views_build(
    tmp_path: Path, prefix: str | None, public_url: str, host: bool
) -> None:
    with LyingProvider() as provider:
        table = settings(tmp_path, provider, public_url)
        app = Flask("host") if host else create_app(table, url_prefix=prefix)
        if host:
            Emolytics(app, table, url_prefix=prefix)
        told = app.test_cli_runner().invoke(args=["emolytics", "check", "sso"]).output.splitlines()

        client = app.test_client()
        page = f"{(prefix or '').rstrip('/')}/login"
        sent = client.post(f"{page}/sso", data={"csrf_token": csrf_token(client, page)}).location
        with app.test_request_context():
            back, logout = (
                external_url("emolytics.login"),
                external_url("emolytics.backchannel_logout", backend="sso"),
            )
        Portal(app).core.close()

    callback = parse_qs(urlsplit(sent).query)["redirect_uri"][0]
    assert f"ok      redirect URI to register: {callback}" in told
    assert f"ok      post-logout redirect URI to register: {back}" in told
    assert f"ok      back-channel logout URI to register: {logout}" in told
