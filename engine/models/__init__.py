"""Keras models in memory: their graph, their kernels as matrices, and what they cost."""
