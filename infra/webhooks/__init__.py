"""Rows of webhooks and deliveries, signatures, and requests to addresses that users name."""
