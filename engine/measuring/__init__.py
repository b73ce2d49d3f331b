"""Measure what was exported: quality, sizes, speed, and what the numbers mean."""
