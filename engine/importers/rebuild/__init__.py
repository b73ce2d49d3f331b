"""Builds a Keras 3 model from the config and weights that a file of another Keras holds."""
