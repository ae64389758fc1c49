"""What networks are fed with: patches, whole pictures, frames of a detector, and augmentation."""
