"""Who asks, as the audit trail keeps it: address, device in words, and a short random name of the request."""

import secrets

from flask import g, request

from emolytics import devices
from emolytics.audit import Client


def client() -> Client:
    """This request's visitor. The address is a proxy's word only where `trusted_proxies` says so."""
    return Client(
        request.remote_addr or "", devices.in_words(request.headers.get("User-Agent")), request_id()
    )


def request_id() -> str:
    """This request's id, made when first asked for. A header of the visitor's is never taken over."""
    if "emolytics_request_id" not in g:
        g.emolytics_request_id = secrets.token_hex(8)
    name: str = g.emolytics_request_id
    return name
