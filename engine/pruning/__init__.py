"""Pruning by masks: criterion, distribution, structure and schedule, each an axis of its own."""
