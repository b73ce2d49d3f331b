"""A whole service whose surroundings break while it works, and come back; none of its own processes is restarted."""
