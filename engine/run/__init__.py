"""One run of a job: its context and state, how it is loaded, and its checkpoints."""
