"""Data sets: every format becomes rows, samples of one shape behind one another, and labels. See docs/data.md."""
