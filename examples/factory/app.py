"""An application factory, a blueprint, roles, a prefix and a hook.

flask --app app emolytics user add ada --role editor
flask --app app run
"""

from pathlib import Path

from flask import Blueprint, Flask, redirect, render_template, url_for
from flask_login import current_user, login_required

from emolytics import Emolytics, roles_required
from emolytics.identity import Denied, Reason
from emolytics.user import User

emolytics = Emolytics(settings=Path(__file__).with_name("settings.toml"), url_prefix="/auth")
reports = Blueprint("reports", __name__, url_prefix="/reports")


@reports.get("/")
@login_required
def index() -> str:
    return render_template("reports.html", may_write=current_user.has_role("editor"))


@reports.get("/drafts")
@roles_required("editor")
def drafts() -> str:
    return render_template("drafts.html")


@emolytics.on_signed_in
def nobody_from_the_old_team(user: User) -> Denied | None:
    """A host application's own word in a sign-in."""
    if "old-team" in user.groups:
        return Denied(Reason.NOT_ALLOWED, "of the old team", "Reports has moved. Please ask the new team.")
    return None


def create_app() -> Flask:
    app = Flask(__name__)
    emolytics.init_app(app)
    app.register_blueprint(reports)
    app.add_url_rule("/", "start", lambda: redirect(url_for("reports.index")))
    return app
