"""Channels that disappear: coupling groups, their importance, and the surgery that removes them."""
