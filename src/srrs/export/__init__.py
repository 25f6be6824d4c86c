"""Export of an audit or a tuned classifier to the formats of other tools."""
