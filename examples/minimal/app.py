from flask import Flask
from flask_login import current_user, login_required
from markupsafe import escape

from emolytics import Emolytics

app = Flask(__name__)
Emolytics(app, settings="settings.toml")


@app.get("/")
@login_required
def start() -> str:
    return f"Hello, {escape(current_user.display_name)}."
