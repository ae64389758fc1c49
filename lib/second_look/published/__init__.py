"""Models as others use them: a card and a file of weights each, and one mammogram's answer."""
