"""Small data, made results and broken files that several tests share."""
