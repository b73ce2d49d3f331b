"""The ``secateur`` command."""
