"""A tf_keras twin of a Keras 3 model, compared with the original before use."""
