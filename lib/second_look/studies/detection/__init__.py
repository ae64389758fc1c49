"""What notebook 05 computes: detection of lesions with Mask R-CNN."""
