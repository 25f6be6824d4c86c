"""Functions that write an audit or a tuned classifier in the formats of other tools."""
