"""What gateway, workers and children tell each other: states, events, progress, work."""
