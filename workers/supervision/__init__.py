"""Watches over one attempt at a job: lease, child process, outputs, checkpoints."""
