"""API tokens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def exact(length: int) -> TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def owned_by(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{table}.id"], name=f"fk_emolytics_api_tokens_{column}", ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "emolytics_api_tokens",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("token_hash", exact(64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("identity_id", ID, nullable=False),
        sa.Column("name", exact(128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=False),
        owned_by("emolytics_users", "user_id"),
        owned_by("emolytics_identities", "identity_id"),
        sa.PrimaryKeyConstraint("id", name="pk_emolytics_api_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_emolytics_api_tokens_token_hash"),
        sqlite_autoincrement=True,
    )
    for column in ("user_id", "identity_id"):
        op.create_index(f"ix_emolytics_api_tokens_{column}", "emolytics_api_tokens", [column])
