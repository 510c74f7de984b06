"""A short random name for each request: on error pages and in the audit trail, so that the two can be matched."""

import secrets

from flask import g


def request_id() -> str:
    """This request's id, made when first asked for. A header of the visitor's is never taken over."""
    if "emolytics_request_id" not in g:
        g.emolytics_request_id = secrets.token_hex(8)
    name: str = g.emolytics_request_id
    return name
