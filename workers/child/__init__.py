"""The process that runs one job. The only one that imports the engine."""
