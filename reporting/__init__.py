"""A report for people: as a table in a terminal and as one page that stands alone. The same numbers in both."""
