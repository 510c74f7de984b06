"""HTTP Basic on the wire: the person whom a request's own password proves, and the answer that asks for one."""

from flask import Request, Response, request

from emolytics.answers import error, sentence
from emolytics.core import Core
from emolytics.errors import BackendUnavailable
from emolytics.refusals import Refusal, Refused
from emolytics.user import User
from emolytics.visitor import client

_JUDGED = "emolytics.basic"


def by_password(core: Core, asking: Request) -> User | None:
    """The person whose name and password came along, or None. Raises `BackendUnavailable`.

    Judged once a request, however often it is asked: a second look would count against the person.
    """
    if core.basic is None:
        return None
    if _JUDGED not in asking.environ:
        header = asking.headers.get("Authorization", "")
        asking.environ[_JUDGED] = core.basic.recognise(header, client())
        if isinstance(asking.environ[_JUDGED], User):
            unless_refused(core, asking, asking.environ[_JUDGED])
    found: User | Refused | None = asking.environ[_JUDGED]
    if not isinstance(found, Refused):
        return found
    if found.code is Refusal.BACKEND_UNAVAILABLE:
        raise BackendUnavailable("no backend could judge the password", retry_after=found.retry_after or 5)
    return None


def unless_refused(core: Core, asking: Request, user: User) -> User | None:
    """The user whom this request proves to be, or None if the host application's hooks have something against it.

    Raises `BackendUnavailable` when a hook fails.
    """
    refused = core.sign_in.ask_host(user, client())
    if refused is None:
        return user
    asking.environ[_JUDGED] = refused
    return None


def unauthenticated() -> Response:
    """401, or what became of the proof that the request brought: 403, 429."""
    refused = request.environ.get(_JUDGED)
    if not isinstance(refused, Refused):
        return error("authentication_required")
    return error(refused.code, message=sentence(refused), retry_after=refused.retry_after)


def wants_page() -> bool:
    """Whether a person waits for the answer: HTML is accepted by name, and JSON is not liked better."""
    accepted = request.accept_mimetypes
    by_name = any(name == "text/html" and quality > 0 for name, quality in accepted)
    return by_name and accepted["text/html"] >= accepted["application/json"]


def takes_basic(core: Core) -> bool:
    """Whether to ask this client for a password. A browser, or a script in one, would open a window of its own."""
    return core.basic is not None and not wants_page() and "Sec-Fetch-Mode" not in request.headers


def challenge(core: Core, response: Response) -> Response:
    """Say with a 401 that a password would do (RFC 7617 section 2), to those who can use it."""
    if response.status_code == 401 and takes_basic(core):
        response.headers.setdefault("WWW-Authenticate", 'Basic realm="emolytics", charset="UTF-8"')
    return response
