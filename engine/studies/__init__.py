"""Jobs that run many trials or measurements: sensitivity, search, sweep."""
