"""What is measured, one file a subject; each `measure` returns rows of the table."""
