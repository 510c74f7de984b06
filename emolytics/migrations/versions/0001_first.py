"""The first tables: people, their sessions and accounts, what is pending, counters, the audit trail."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def exact(length: int) -> TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "emolytics_audit_events",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("event", exact(64), nullable=False),
        sa.Column("reason", exact(64), nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("username", exact(256), nullable=False),
        sa.Column("backend", exact(64), nullable=False),
        sa.Column("address", exact(64), nullable=False),
        sa.Column("request_id", exact(64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_emolytics_audit_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_emolytics_audit_events_at", "emolytics_audit_events", ["at"], unique=False)
    op.create_index(
        "ix_emolytics_audit_events_user_id_at", "emolytics_audit_events", ["user_id", "at"], unique=False
    )
    op.create_table(
        "emolytics_local_accounts",
        sa.Column("subject", exact(64), nullable=False),
        sa.Column("issuer", exact(255), nullable=False),
        sa.Column("username", exact(256), nullable=False),
        sa.Column("username_key", exact(512), nullable=False),
        sa.Column("display_name", exact(256), nullable=False),
        sa.Column("email", exact(320), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_emolytics_local_accounts"),
    )
    op.create_index(
        "uq_emolytics_local_accounts_username",
        "emolytics_local_accounts",
        ["issuer", "username_key"],
        unique=True,
    )
    op.create_table(
        "emolytics_pending_sign_ins",
        sa.Column("state_hash", exact(64), nullable=False),
        sa.Column("backend", exact(64), nullable=False),
        sa.Column("browser_hash", exact(64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name="pk_emolytics_pending_sign_ins"),
    )
    op.create_index(
        "ix_emolytics_pending_sign_ins_expires_at", "emolytics_pending_sign_ins", ["expires_at"], unique=False
    )
    op.create_table(
        "emolytics_seen_tokens",
        sa.Column("token_hash", exact(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_emolytics_seen_tokens"),
    )
    op.create_index(
        "ix_emolytics_seen_tokens_expires_at", "emolytics_seen_tokens", ["expires_at"], unique=False
    )
    op.create_table(
        "emolytics_throttle_counters",
        sa.Column("key", exact(64), nullable=False),
        sa.Column("kind", exact(16), nullable=False),
        sa.Column("label", exact(256), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("window_ends", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_emolytics_throttle_counters"),
    )
    op.create_index(
        "ix_emolytics_throttle_counters_window_ends",
        "emolytics_throttle_counters",
        ["window_ends"],
        unique=False,
    )
    op.create_table(
        "emolytics_users",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("username", exact(256), nullable=False),
        sa.Column("username_key", exact(768), nullable=False),
        sa.Column("display_name", exact(256), nullable=False),
        sa.Column("email", exact(320), nullable=False),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_emolytics_users"),
        sa.UniqueConstraint("username_key", name="uq_emolytics_users_username_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "emolytics_grants",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("role", exact(128), nullable=False),
        sa.Column("granted_by", exact(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["emolytics_users.id"], name="fk_emolytics_grants_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "role", "granted_by", name="pk_emolytics_grants"),
    )
    op.create_table(
        "emolytics_identities",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("backend", exact(64), nullable=False),
        sa.Column("issuer", exact(255), nullable=False),
        sa.Column("subject", exact(255), nullable=False),
        sa.Column("username", exact(256), nullable=False),
        sa.Column("email", exact(320), nullable=False),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("signed_in_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["emolytics_users.id"], name="fk_emolytics_identities_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_emolytics_identities"),
        sa.UniqueConstraint("issuer", "subject", name="uq_emolytics_identities_issuer_subject"),
    )
    op.create_index("ix_emolytics_identities_user_id", "emolytics_identities", ["user_id"], unique=False)
    op.create_table(
        "emolytics_sessions",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("token_hash", exact(64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("identity_id", ID, nullable=False),
        sa.Column("remembered", sa.Boolean(), nullable=False),
        sa.Column("auth_time", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revalidate_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=False),
        sa.Column("address", exact(64), nullable=False),
        sa.Column("device", exact(128), nullable=False),
        sa.Column("upstream_session", exact(255), nullable=False),
        sa.Column("retained", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["identity_id"],
            ["emolytics_identities.id"],
            name="fk_emolytics_sessions_identity_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["emolytics_users.id"], name="fk_emolytics_sessions_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_emolytics_sessions"),
        sa.UniqueConstraint("token_hash", name="uq_emolytics_sessions_token_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_emolytics_sessions_expires_at", "emolytics_sessions", ["expires_at"], unique=False)
    op.create_index("ix_emolytics_sessions_identity_id", "emolytics_sessions", ["identity_id"], unique=False)
    op.create_index(
        "ix_emolytics_sessions_upstream_session", "emolytics_sessions", ["upstream_session"], unique=False
    )
    op.create_index("ix_emolytics_sessions_user_id", "emolytics_sessions", ["user_id"], unique=False)
