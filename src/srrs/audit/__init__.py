"""The audit: which labels are wrong, as a table, a summary and a page."""
