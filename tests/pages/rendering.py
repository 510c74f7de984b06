"""Pages rendered in a bare application: no backend, no database, no session."""

from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, render_template

from tests.pages.samples import Person, pages

ROOT = Path(__file__).parents[2]
CSRF = "csrf-value"
ENDPOINTS = {
    "home": "/",
    "login": "/login",
    "start": "/login/<backend>",
    "logout": "/logout",
    "account": "/account",
    "change_password": "/account/password",
    "end_session": "/account/sessions/end",
    "end_other_sessions": "/account/sessions/end-others",
    "link": "/account/link/<backend>",
    "unlink": "/account/unlink",
    "create_token": "/account/tokens",
    "revoke_token": "/account/tokens/revoke",
    "reauthenticate": "/reauthenticate",
    "reauthenticate_away": "/reauthenticate/<backend>",
}


def make_app(title: str = "Emolytics") -> Flask:
    """A Flask application that has the templates, the static files and the names of the endpoints."""
    app = Flask(__name__, template_folder=str(ROOT / "templates"))
    blueprint = Blueprint(
        "emolytics",
        __name__,
        static_folder=str(ROOT / "emolytics/static"),
        static_url_path="/static/emolytics",
    )
    for endpoint, rule in ENDPOINTS.items():
        blueprint.add_url_rule(rule, endpoint, _nothing, methods=["GET", "POST"])
    app.register_blueprint(blueprint)
    app.context_processor(lambda: {"title": title, "csrf_token": CSRF, "home_url": "/"})
    return app


def _nothing(**_: str) -> str:
    return ""


def render(page: str, person: Person | None = None, title: str = "Emolytics", **changes: Any) -> str:
    template, context = pages(person or Person())[page]
    with make_app(title).test_request_context():
        return render_template(f"emolytics/{template}.html", **{**context, **changes})
