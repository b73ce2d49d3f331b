"""What a model is trained for and judged by: losses, metrics, several outputs."""
