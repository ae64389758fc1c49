"""Plans and runs notebooks, keeps their parameters and provenance, and builds the report."""
