"""Delivers webhooks, fairly between owners."""
