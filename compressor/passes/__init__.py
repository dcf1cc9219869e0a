"""The passes: each a frozen dataclass of options with one method that edits a model."""
