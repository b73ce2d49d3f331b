"""Remove channels for good: find what must go together, choose what goes, and build the smaller model."""
