"""Accepts jobs and notifies workers."""
