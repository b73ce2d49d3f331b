"""Talks to a Secateur service: ``client.api`` from Python, ``secateur`` from a terminal."""
