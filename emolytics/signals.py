"""Signals of what has happened (blinker), beside those of Flask-Login. The sender is the Flask application.

Each is sent with `record`, the `Record` that the audit trail holds, once what it tells of is committed:

    from emolytics import signals

    @signals.denied.connect_via(app)
    def count(app, record): ...
"""

from typing import Any

from blinker import Namespace

from emolytics.audit import Record
from emolytics.hooks import NEWS, quietly

_ours = Namespace()

signed_in = _ours.signal("emolytics-signed-in")
denied = _ours.signal("emolytics-denied")
user_created = _ours.signal("emolytics-user-created")
credential_changed = _ours.signal("emolytics-credential-changed")

_SIGNALS = {
    "signed_in": signed_in,
    "denied": denied,
    "user_created": user_created,
    "credential_changed": credential_changed,
}


def send(app: Any, record: Record) -> None:
    """Send the signal of this event, if it has one. Never raises, whatever the receivers do."""
    for news, events in NEWS.items():
        if record.event in events:
            for receiver in _SIGNALS[news].receivers_for(app):
                quietly(receiver, app, record=record)
