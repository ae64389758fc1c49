"""Trained networks over whole mammograms; what they say comes out as tables."""
