"""Reports of jobs and summaries of uploads."""
