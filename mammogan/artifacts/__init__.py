"""Where to look for artifacts, and what observers labeled."""
