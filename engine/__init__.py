"""The compression library: Keras in, LiteRT out. No HTTP, queue, database or environment variables.

A pruning method is a criterion (score per weight), a distribution (sparsity per layer), a mask (which weights
stay) and a schedule (how sparse at which step); each is a pure function in a file of its own.
"""
