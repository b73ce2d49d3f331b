"""Middleware: authentication, request ids, body limits, early answers."""
