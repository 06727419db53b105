"""Records in a SQL database: SQLite, PostgreSQL, MariaDB, MySQL."""

from cinderlib.persistence.sql.store import SQLMemoryStore, SQLStore, schema_versions

__all__ = ["SQLMemoryStore", "SQLStore", "schema_versions"]
