"""One loop for every network, and a short file for each thing that is trained."""
