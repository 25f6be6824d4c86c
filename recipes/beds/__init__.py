"""The development suite: datasets with known true labels, label noise, and the rules that are compared on them."""
