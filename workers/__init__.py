"""Runs jobs: a Celery worker whose tasks watch over child processes."""
