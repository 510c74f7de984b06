"""One-time links to a new password."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = "emolytics_password_links"
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def exact(length: int) -> TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("token_hash", exact(64), nullable=False),
        sa.Column("identity_id", ID, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["emolytics_identities.id"], name=f"fk_{TABLE}_identity_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=f"pk_{TABLE}"),
    )
    for column in ("identity_id", "expires_at"):
        op.create_index(f"ix_{TABLE}_{column}", TABLE, [column])
