"""Second Look: cancer detection in public mammograms, a paper rebuilt as a reproducible report.

Research software, not a medical device. ARCHITECTURE.md draws the layers of this package.
"""
