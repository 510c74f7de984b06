"""When somebody last proved who they are; addresses of local accounts that an operator vouches for."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whoever is signed in meanwhile proves it again before the first change.
    proven_at: sa.Column[int] = sa.Column("proven_at", sa.BigInteger(), nullable=False, server_default="0")
    verified: sa.Column[bool] = sa.Column(
        "email_verified", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("emolytics_sessions", proven_at)
    op.add_column("emolytics_local_accounts", verified)
