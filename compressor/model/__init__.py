"""Open, measure, run and write models whose weights stay where they are on disk."""
