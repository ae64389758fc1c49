"""What notebook 07 computes: calibration and what it means for decisions."""
