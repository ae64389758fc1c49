"""Picture files to arrays; nothing else opens a picture."""
