"""Checkpoints of a job: sections of arrays, collected, written to one file, and restored."""
