"""HTTP as this API uses it: problems, suggestions, paging, ranges, strict queries."""
