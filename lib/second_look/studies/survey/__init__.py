"""What notebooks 01 and 02 compute: the data and their patches."""
