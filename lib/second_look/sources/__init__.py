"""Raw files to catalogue rows, one reader a data set."""
