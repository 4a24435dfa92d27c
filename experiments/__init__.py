"""One module per experiment. Each reads from top to bottom like a section of a textbook."""
