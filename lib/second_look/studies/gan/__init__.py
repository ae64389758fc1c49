"""What notebooks 03 and 04 compute: generators, and classifiers that learn from their samples."""
