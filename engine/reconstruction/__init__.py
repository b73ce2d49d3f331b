"""Weights reconstructed by least squares on unlabelled samples, layer by layer."""
