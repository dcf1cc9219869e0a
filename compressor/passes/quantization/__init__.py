"""Turn float weights into int8 ones, one operator family a file."""
