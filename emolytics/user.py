"""The signed-in person: what `current_user` is."""

from dataclasses import dataclass

from flask_login import UserMixin


@dataclass(slots=True, eq=False)
class User(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """Flask-Login's user, read from one row; nothing here goes back to the database.

    `auth_time` is when the person last proved who they are, in seconds since the epoch, as far as we know.
    `proven_at` is the same where it is certain: a password that was checked here, or a provider that says when;
    0 where it is not. `session_id` names the row of this session (None for a request that carried its own proof),
    and `remembered` says that it outlives the browser's visit.
    """

    id: int
    username: str
    display_name: str
    email: str
    backend: str
    subject: str
    issuer: str
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    auth_time: int
    session_id: int | None = None
    identity_id: int | None = None
    session_token: str = ""
    proven_at: int = 0
    remembered: bool = False

    def has_role(self, name: str) -> bool:
        """Whether this application grants the person this role."""
        return name in self.roles

    def get_id(self) -> str:
        """What Flask-Login keeps in the cookie: the session's secret name, so that ending the row ends it."""
        return self.session_token

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, User) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<User {self.id} {self.username!r}>"
