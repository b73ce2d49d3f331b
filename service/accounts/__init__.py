"""The caller of a request, and the command that makes the first key."""
