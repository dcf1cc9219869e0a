"""What an export folder holds beside its models, and what a folder of results must hold for others to load it."""
