"""Synthetic mammograms, and their writers in the layout of every data set."""
