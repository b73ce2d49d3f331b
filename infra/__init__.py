"""Adapters shared by gateway and workers: settings, database, artifact store, broker, logs."""
