"""Runs jobs: a Celery worker whose tasks only watch over a child process. The child alone imports the engine."""
