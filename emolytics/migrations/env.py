"""Alembic's entry: runs on the connection, and in the transaction, that `upgrade` opened."""

from alembic import context

from emolytics.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=False,
)
context.run_migrations()
