"""The audit: a table, a summary and a review page that show which labels are probably wrong."""
