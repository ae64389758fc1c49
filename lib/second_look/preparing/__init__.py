"""From catalogue rows to prepared images, data sets and tables of windows."""
