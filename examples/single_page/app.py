"""A page that is all script: it signs in, asks for data and signs out by JSON.

flask --app app emolytics user add ada
flask --app app run
"""

from flask import Flask, Response, jsonify
from flask_login import current_user, login_required

from emolytics import Emolytics

app = Flask(__name__)
Emolytics(app, settings="settings.toml")


@app.get("/")
def page() -> Response:
    return app.send_static_file("index.html")


@app.get("/api/reports")
@login_required
def reports() -> Response:
    """For a program without a session this is 401, and JSON too."""
    return jsonify(reports=[f"Sales of {current_user.display_name}", "Costs"])
