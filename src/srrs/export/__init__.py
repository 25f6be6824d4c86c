"""What other tools read: an audit as they import it, and a tuned classifier as one graph."""
