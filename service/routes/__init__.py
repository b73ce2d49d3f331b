"""The endpoints, a file for each kind of thing. An endpoint parses, calls, and answers."""
