"""Measures exported files: quality, size, latency, agreement with the original."""
