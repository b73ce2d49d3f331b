"""API keys, owners, their limits, quotas and request rates."""
