"""What notebook 08 computes: the claims of the paper beside the measurements."""
