"""Tables in, numbers out: no networks, no pixels, no drawing."""
