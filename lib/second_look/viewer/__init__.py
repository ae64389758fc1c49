"""The case viewer of notebooks and report: which cases, their pictures, and one script for both."""

# Folder of a run's outputs with the cases of its notebooks.
FOLDER = "cases"
