"""Reports, events and progress as text and as terminal tables."""
