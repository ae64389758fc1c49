"""Drawing only: every function takes numbers that are ready and returns a matplotlib figure."""
