"""Checks a spec against the summaries of a model and a data set."""
