"""Networks only: no data, no training, no metrics."""
