"""Read the user's own inputs and labels."""
