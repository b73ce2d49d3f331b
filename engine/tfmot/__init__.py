"""TFMOT's own gradual pruning, on the tf_keras twin of a model."""
