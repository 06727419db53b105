"""Run by Alembic: uses the connection and transaction of :mod:`..upgrade`."""

from alembic import context

from cinderlib.persistence.sql.columns import PREFIX

context.configure(
    connection=context.config.attributes["connection"],
    version_table=f"{PREFIX}alembic",
)
with context.begin_transaction():
    context.run_migrations()
