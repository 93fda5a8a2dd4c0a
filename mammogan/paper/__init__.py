"""What the paper prints, and what follows from its printed numbers alone."""
