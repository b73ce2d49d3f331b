"""The database, SQLite and PostgreSQL alike: connections, tables, migrations, clock, locks."""
