"""Channel pruning: coupling groups, the importance of their channels, and the surgery that removes channels."""
