"""Statistics of any reader study: answers in, numbers out."""
