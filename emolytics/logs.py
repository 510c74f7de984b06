"""The portal's log: a JSON object per line on standard error (ASVS 16.2.4), the audit trail's among them."""

import json
import logging
import traceback
from datetime import UTC, datetime

AUDIT_TRAIL = "emolytics.audit"


class JsonLines(logging.Formatter):
    """Audit lines are objects already; everything else becomes one, a traceback included, on a single line."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == AUDIT_TRAIL:
            return message
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        if record.exc_info and record.exc_info[0]:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line)


def configure(level: int = logging.INFO) -> None:
    """Send this process's logging to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("emolytics").setLevel(level)


class _IfNobodyElse(logging.StreamHandler):  # type: ignore[type-arg]
    """Silent as soon as the application sends its log somewhere: it may set that up after us."""

    def emit(self, record: logging.LogRecord) -> None:
        parent = logging.getLogger(AUDIT_TRAIL).parent
        if parent is None or not parent.hasHandlers():
            super().emit(record)


def keep_audit_trail() -> None:
    """See that the trail's lines are written in an application that has set up no logging, or none below WARNING."""
    trail = logging.getLogger(AUDIT_TRAIL)
    if trail.level == logging.NOTSET:
        trail.setLevel(logging.INFO)
    if not trail.hasHandlers():
        handler = _IfNobodyElse()
        handler.setFormatter(JsonLines())
        trail.addHandler(handler)
