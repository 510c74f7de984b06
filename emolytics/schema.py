"""The tables. Times are whole seconds since the epoch, UTC; lists are JSON text.

`migrations/` brings a database to this state, and a test holds both against each other. The prefix lets
the tables stand in a host application's own database.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

REVISION = "0006"
VERSION_TABLE = "emolytics_version"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite gives only INTEGER keys a sequence of their own.
Id = BigInteger().with_variant(Integer, "sqlite")
Long = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
Sealed = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def exact(length: int) -> TypeEngine[str]:
    """Text compared byte by byte on every database; MariaDB would fold case and ignore trailing spaces."""
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return String(length).with_variant(binary, "mysql", "mariadb")


def fits(column: Column[str], text: str) -> bool:
    """Whether the column keeps exactly this text: not empty, not too long, nothing that PostgreSQL refuses."""
    return bool(text) and fit(column, text) == text


def fit(column: Column[str], text: str) -> str:
    """The text as the column takes it: cut to its length, without NUL and halves of characters."""
    length = getattr(column.type, "length", None)
    return text[:length].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _user(*, primary_key: bool = False) -> Column[int]:
    owner = ForeignKey("emolytics_users.id", ondelete="CASCADE")
    return Column("user_id", Id, owner, nullable=False, primary_key=primary_key)


def _when(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _text(name: str, length: int) -> Column[str]:
    return Column(name, exact(length), nullable=False, default="")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=False)


def _list(name: str) -> Column[str]:
    # Somebody may be in thousands of groups, and MariaDB's TEXT ends at 64 kB.
    return Column(name, Long, nullable=False, default="[]")


# sqlite_autoincrement: an id is never given twice, so what a host keeps under it never passes to somebody else.
users = Table(
    "emolytics_users",
    metadata,
    _id(),
    _text("username", 256),
    Column("username_key", exact(768), nullable=False, unique=True),
    _text("display_name", 256),
    _text("email", 320),
    _flag("email_verified"),
    _flag("disabled"),
    _list("roles"),
    _when("created_at"),
    sqlite_autoincrement=True,
)

identities = Table(
    "emolytics_identities",
    metadata,
    _id(),
    _user(),
    _text("backend", 64),
    _text("issuer", 255),
    _text("subject", 255),
    _text("username", 256),
    _text("email", 320),
    _flag("email_verified"),
    _list("groups"),
    _when("created_at"),
    _when("signed_in_at"),
    UniqueConstraint("issuer", "subject"),
    Index(None, "user_id"),
)

grants = Table(
    "emolytics_grants",
    metadata,
    _user(primary_key=True),
    Column("role", exact(128), primary_key=True),
    Column("granted_by", exact(128), primary_key=True),
)

sessions = Table(
    "emolytics_sessions",
    metadata,
    _id(),
    Column("token_hash", exact(64), nullable=False, unique=True),
    _user(),
    Column("identity_id", Id, ForeignKey("emolytics_identities.id", ondelete="CASCADE"), nullable=False),
    _flag("remembered"),
    _when("auth_time"),
    Column("proven_at", BigInteger, nullable=False, default=0, server_default="0"),
    _when("created_at"),
    _when("last_seen"),
    _when("expires_at"),
    _when("revalidate_at"),
    _when("confirmed_at"),
    _text("address", 64),
    _text("device", 128),
    _text("upstream_session", 255),
    Column("retained", Sealed),
    Index(None, "user_id"),
    Index(None, "identity_id"),
    Index(None, "expires_at"),
    Index(None, "upstream_session"),
    sqlite_autoincrement=True,
)

local_accounts = Table(
    "emolytics_local_accounts",
    metadata,
    Column("subject", exact(64), primary_key=True),
    _text("issuer", 255),
    _text("username", 256),
    Column("username_key", exact(512), nullable=False),
    _text("display_name", 256),
    _text("email", 320),
    Column("email_verified", Boolean, nullable=False, default=False, server_default=false()),
    _list("groups"),
    Column("password_hash", Text),
    _flag("must_change"),
    _when("created_at"),
    _when("changed_at"),
)
Index(
    "uq_emolytics_local_accounts_username",
    local_accounts.c.issuer,
    local_accounts.c.username_key,
    unique=True,
)

api_tokens = Table(
    "emolytics_api_tokens",
    metadata,
    _id(),
    Column("token_hash", exact(64), nullable=False, unique=True),
    _user(),
    Column("identity_id", Id, ForeignKey("emolytics_identities.id", ondelete="CASCADE"), nullable=False),
    _text("name", 128),
    _when("created_at"),
    _when("expires_at"),
    _when("last_used_at"),
    Index(None, "user_id"),
    Index(None, "identity_id"),
    sqlite_autoincrement=True,
)

pending_sign_ins = Table(
    "emolytics_pending_sign_ins",
    metadata,
    Column("state_hash", exact(64), primary_key=True),
    _text("backend", 64),
    _text("browser_hash", 64),
    Column("payload", Sealed, nullable=False),
    _when("expires_at"),
    Index(None, "expires_at"),
)

password_links = Table(
    "emolytics_password_links",
    metadata,
    Column("token_hash", exact(64), primary_key=True),
    Column("identity_id", Id, ForeignKey("emolytics_identities.id", ondelete="CASCADE"), nullable=False),
    _when("expires_at"),
    Index(None, "identity_id"),
    Index(None, "expires_at"),
)

seen_tokens = Table(
    "emolytics_seen_tokens",
    metadata,
    Column("token_hash", exact(64), primary_key=True),
    _when("expires_at"),
    Index(None, "expires_at"),
)

throttle_counters = Table(
    "emolytics_throttle_counters",
    metadata,
    Column("key", exact(64), primary_key=True),
    _text("kind", 16),
    Column("failures", Integer, nullable=False),
    _when("window_ends"),
    Index(None, "window_ends"),
)

audit_events = Table(
    "emolytics_audit_events",
    metadata,
    _id(),
    _when("at"),
    _text("event", 64),
    _text("reason", 64),
    Column("user_id", Id),
    _text("username", 256),
    _text("backend", 64),
    _text("address", 64),
    _text("request_id", 64),
    Column("detail", Text, nullable=False, default="{}"),
    Index(None, "at"),
    Index(None, "user_id", "at"),
    sqlite_autoincrement=True,
)
