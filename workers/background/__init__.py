"""Threads of every worker: the reaper and the garbage collector."""
