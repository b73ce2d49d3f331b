"""Rows of uploads, whole and resumable."""
