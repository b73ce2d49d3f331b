"""Model files of every age, read as data: a config in JSON and arrays. Nothing that a file holds is executed."""
