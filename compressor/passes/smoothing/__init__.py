"""Move the size of an activation's features into the weights that it is multiplied with."""
