"""Numbers that the paper prints, and consequences of these numbers alone."""
