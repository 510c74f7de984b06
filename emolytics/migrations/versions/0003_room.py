"""Room for thousands of groups on MariaDB; throttle counters keep no names."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LONG = (
    ("emolytics_users", "roles"),
    ("emolytics_identities", "groups"),
    ("emolytics_local_accounts", "groups"),
)


def upgrade() -> None:
    op.drop_column("emolytics_throttle_counters", "label")
    if op.get_bind().dialect.name not in {"mysql", "mariadb"}:
        return
    for table, column in LONG:
        op.alter_column(table, column, type_=mysql.MEDIUMTEXT(), existing_type=sa.Text(), nullable=False)
    for table, column, nullable in (
        ("emolytics_sessions", "retained", True),
        ("emolytics_pending_sign_ins", "payload", False),
    ):
        op.alter_column(
            table, column, type_=mysql.MEDIUMBLOB(), existing_type=sa.LargeBinary(), nullable=nullable
        )
