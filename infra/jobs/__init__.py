"""Rows of jobs: their life cycle, recovery, trials, events and checkpoints."""
