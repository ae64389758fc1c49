"""Networks over whole mammograms; the results are tables."""
