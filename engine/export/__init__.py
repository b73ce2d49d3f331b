"""Converts Keras models to LiteRT files, and runs and reads those files."""
