"""Who is this? Flask-Login's questions, answered by the session's row and by the request backends."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from flask import Flask, Request, Response, current_app, flash, g, request
from flask_login import LOGIN_MESSAGE, LoginManager, decode_cookie, encode_cookie, user_loaded_from_request
from flask_login.utils import login_url
from werkzeug.datastructures import Headers

from emolytics.answers import see_other, wants_json
from emolytics.audit import Event, Record
from emolytics.backend import RequestBackend
from emolytics.challenge import by_password, takes_basic, unauthenticated, unless_refused
from emolytics.core import Core
from emolytics.errors import BackendMisbehaved, BackendUnavailable, StoreUnavailable
from emolytics.identity import Denied, Outcome
from emolytics.user import User
from emolytics.visitor import client

log = logging.getLogger(__name__)

# What a browser writes as it is in a path and in a query; an escape stays the escape that it was.
_IN_PATH = "/:@!$&'()*+,;=~"
_IN_QUERY = _IN_PATH + "?%"


class SignInManager(LoginManager):  # type: ignore[misc]  # Flask-Login has no types
    """Flask-Login's manager, without what it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        # Its check reads X-Forwarded-For from anybody; our sessions are rows, which need no such help.
        self.session_protection = None
        self.login_message = None
        self.unauthorized_handler(unauthorized)
        self.needs_refresh_handler(needs_refresh)

    def _session_protection_failed(self) -> bool:
        """It would compute the visitor's identifier for each request, and then not look at it."""
        mode = current_app.config.get("SESSION_PROTECTION", self.session_protection)
        return bool(mode) and bool(super()._session_protection_failed())

    def _load_user_from_remember_cookie(self, cookie: str) -> User | None:
        """Every key that verifies a session verifies this cookie too; one with other than ASCII raises in there."""
        keys = (None, *(current_app.config.get("SECRET_KEY_FALLBACKS") or ()))
        found = [decode_cookie(cookie, key=key) for key in keys] if cookie.isascii() else []
        payload = next(filter(None, found), None)
        if payload is None:
            return None
        user: User | None = super()._load_user_from_remember_cookie(encode_cookie(payload))
        return user


def harden(manager: LoginManager, app: Flask) -> None:
    """Close in a host's own manager what Flask-Login leaves open, where the host has not decided otherwise."""
    if manager.session_protection == "basic":
        manager.session_protection = None
    if manager.login_view is None and manager.login_message == LOGIN_MESSAGE:
        manager.login_message = None  # our page says by itself what it is
    # Such a host's sign-in view looks for the address in the session, where Flask-Login alone puts it.
    if app.config.get("USE_SESSION_FOR_NEXT"):
        return
    if manager.unauthorized_callback is None:
        manager.unauthorized_handler(unauthorized)
    if manager.needs_refresh_callback is None and manager.refresh_view is None:
        manager.needs_refresh_handler(needs_refresh)


def install(manager: LoginManager, core: Core) -> None:
    """Answer Flask-Login's questions from this core."""
    manager._clear_cookie = forget_remembered  # noqa: SLF001 - see there

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load_user(token: object) -> User | None:
        # A host application's older sessions may hold a number here.
        found = core.sessions.load(token) if isinstance(token, str) else None
        if found is None:
            return None
        user = found.user
        if found.revalidation_is_due and not core.revalidation.keeps(user, client()):
            return None
        if found.touch_is_due:
            g.emolytics_touch = user.session_id
        return user

    @manager.request_loader  # type: ignore[untyped-decorator]
    def load_user_from_request(asking: Request) -> User | None:
        return recognise(core, asking)


class _AnyCase(Mapping[str, str]):
    """Header names compare without case (RFC 9110 section 5.1); a backend is handed no type of the framework."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers.keys())

    def __len__(self) -> int:
        return len(self._headers)


def recognise(core: Core, asking: Request) -> User | None:
    """The person whom the first request backend that feels addressed vouches for; None means nobody.

    Asked once a request. Raises `BackendUnavailable` when none recognised the person and one that was
    addressed did not answer: to say "sign in" then would take an outage for a denial.
    """
    if "emolytics_recognised" not in g:
        try:
            g.emolytics_recognised = _first_word(core, asking)
        except BackendUnavailable as raised:
            g.emolytics_recognised = raised
    found: User | BackendUnavailable | None = g.emolytics_recognised
    if isinstance(found, BackendUnavailable):
        raise found
    return found


def recognise_first(core: Core, asking: Request) -> None:
    """Let a request backend's word stand for this request, whatever cookies came along.

    Flask-Login would not ask its request loader beside a remember cookie, and a session of one person must
    not go on under the header of another (CVE-2014-0482).
    """
    try:
        user = recognise(core, asking)
    except BackendUnavailable:
        return  # a session may still say who it is; where there is none, the request loader raises it again
    if user is not None:
        g._login_user = user  # noqa: SLF001 - where Flask-Login keeps it; it has no public way to say so
        user_loaded_from_request.send(current_app._get_current_object(), user=user)  # type: ignore[attr-defined]  # noqa: SLF001


def _first_word(core: Core, asking: Request) -> User | BackendUnavailable | None:
    outage: BackendUnavailable | None = None
    for backend in core.request_backends():
        try:
            outcome = _ask(backend, asking)
        except BackendUnavailable as raised:
            log.warning("backend %s did not answer: %s", backend.name, raised)
            outage = raised
            continue
        if outcome is not None:
            return _admit(core, asking, backend.name, outcome)
    return by_password(core, asking) or outage


def _ask(backend: RequestBackend, asking: Request) -> Outcome | None:
    try:
        return backend.authenticate_request(_AnyCase(asking.headers), _peer(asking))
    except (BackendUnavailable, StoreUnavailable):
        raise
    except Exception as fault:
        log.exception("backend %s failed", backend.name)
        raise BackendMisbehaved(f"unexpected {type(fault).__name__}") from fault


def _peer(asking: Request) -> str:
    """Who is at the other end of the connection, whatever X-Forwarded-For says."""
    untouched = asking.environ.get("werkzeug.proxy_fix.orig", asking.environ)
    return str(untouched.get("REMOTE_ADDR") or "")


def _admit(core: Core, asking: Request, backend: str, outcome: Outcome) -> User | None:
    if isinstance(outcome, Denied):
        detail = {"detail": outcome.detail} if outcome.detail else {}
        core.audit.note(Record(Event.DENIED, client(), "", backend, reason=outcome.reason, detail=detail))
        return None
    user = core.sign_in.for_request(backend, outcome, client())
    if user is not None:
        return unless_refused(core, asking, user)
    record = Record(Event.DENIED, client(), outcome.identity.username, backend, reason="access_denied")
    core.audit.note(record)
    return None


def end_session(core: Core, user: User) -> None:
    """What Flask-Login's own `logout_user` means here: the row ends, and with it every copy of the cookie."""
    with core.database.transaction() as connection:
        if user.session_id is not None and core.sessions.end(connection, user.id, user.session_id):
            record = Record(Event.SIGNED_OUT, client(), user.username, user.backend, user.id)
            core.audit.within(connection, record)


def forget_remembered(response: Response) -> None:
    """Take the remember cookie back with the attributes that it was given with.

    Flask-Login leaves them out, and browsers do not heed a `__Host-` cookie without Secure (RFC 6265bis section 5.7):
    the cookie would stay in the browser for its thirty days.
    """
    config = current_app.config
    response.delete_cookie(
        config["REMEMBER_COOKIE_NAME"],
        path=config.get("REMEMBER_COOKIE_PATH", "/"),
        domain=config.get("REMEMBER_COOKIE_DOMAIN"),
        secure=config["REMEMBER_COOKIE_SECURE"],
        httponly=config["REMEMBER_COOKIE_HTTPONLY"],
        samesite=config["REMEMBER_COOKIE_SAMESITE"],
    )


def touch_session(core: Core, response: Response) -> Response:
    """Write `last_seen` after the answer is made; if the database refuses, the answer stands all the same."""
    session_id = g.pop("emolytics_touch", None)
    if session_id is not None:
        try:
            core.sessions.touch(session_id)
        except StoreUnavailable:
            log.warning("the last use of session %s was not noted", session_id)
    return response


def closed() -> Any:
    """401 for programs, in our words; for people what the application's login manager does with visitors."""
    if _is_program():
        return unauthenticated()
    return current_app.login_manager.unauthorized()  # type: ignore[attr-defined]


def unauthorized() -> Response:
    """401 for programs; people go to the sign-in page and come back to where they were."""
    return _sign_in_first()


def needs_refresh() -> Response:
    """The same where a view wants a sign-in of this visit, and a remembered session is older than that."""
    return _sign_in_first(fresh="1")


def _sign_in_first(**options: str) -> Response:
    manager: LoginManager = current_app.login_manager  # type: ignore[attr-defined]
    view = manager.blueprint_login_views.get(request.blueprint) or manager.login_view
    if _is_program() or not view:
        return unauthenticated()
    if manager.login_message and not options:  # its words are for visitors, not for a second sign-in
        translated = manager.localize_callback or str
        flash(translated(manager.login_message), manager.login_message_category)
    target = login_url(view)
    arguments = [f"{name}={value}" for name, value in options.items()]
    if request.method in {"GET", "HEAD"}:
        # A slash needs no escape in a query, and an address that people can read is worth a line.
        arguments.append(f"next={quote(_where_asked(), safe='/')}")
    if not arguments:
        return see_other(target)
    return see_other(f"{target}{'&' if '?' in target else '?'}{'&'.join(arguments)}")


def _is_program() -> bool:
    return wants_json() or takes_basic(current_app.extensions["emolytics"])


def _where_asked() -> str:
    """This request's own address below the origin, as the browser wrote it."""
    path = quote(request.root_path + request.path, safe=_IN_PATH)
    query = quote(request.query_string, safe=_IN_QUERY)
    return f"{path}?{query}" if query else path
