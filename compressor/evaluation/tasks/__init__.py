"""Score models on labelled samples: one file a task."""
