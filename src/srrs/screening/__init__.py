"""Screening: which labels to trust, from arrays of evidence."""
