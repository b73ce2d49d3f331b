"""Static checks of model files."""
