"""The endpoints. An endpoint parses, calls once, and answers."""
