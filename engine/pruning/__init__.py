"""Cut: what goes, how it is chosen, how much of each layer, when, and that it stays cut."""
