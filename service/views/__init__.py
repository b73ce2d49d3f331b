"""The JSON that the API answers, as frozen models."""
