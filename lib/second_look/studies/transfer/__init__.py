"""What notebook 06 computes: patch classifiers, transfer, and whole images."""
