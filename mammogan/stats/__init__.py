"""Statistics of a reader study: answers in, numbers out."""
