"""What an uploaded file is, and whether it computes what its Keras computed."""
