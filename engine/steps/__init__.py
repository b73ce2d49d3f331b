"""The steps of a recipe: prune, prune channels, fine-tune, quantise."""
