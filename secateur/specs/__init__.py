"""Job specs: what a user can ask for."""
