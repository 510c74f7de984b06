"""Who asks, as the audit trail keeps it: address, device in words, and a short random name of the request."""

import secrets

from flask import Response, after_this_request, current_app, g, request

from emolytics import devices
from emolytics.audit import Client
from emolytics.known_devices import LIFETIME_SECONDS


def client() -> Client:
    """This request's visitor. The address is a proxy's word only where `trusted_proxies` says so."""
    return Client(
        request.remote_addr or "",
        devices.in_words(request.headers.get("User-Agent")),
        request_id(),
        request.cookies.get(_device_cookie(), ""),
    )


def remember_device(value: str) -> None:
    """Have the answer to this request give the browser this cookie; it outlasts sessions and signing out."""
    if not value:
        return

    @after_this_request
    def give(response: Response) -> Response:
        response.set_cookie(
            _device_cookie(),
            value,
            max_age=LIFETIME_SECONDS,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return response


def request_id() -> str:
    """This request's id, made when first asked for. A header of the visitor's is never taken over."""
    if "emolytics_request_id" not in g:
        g.emolytics_request_id = secrets.token_hex(8)
    name: str = g.emolytics_request_id
    return name


def _device_cookie() -> str:
    prefix = "__Host-" if current_app.config["SESSION_COOKIE_SECURE"] else ""
    return f"{prefix}emolytics_device"
