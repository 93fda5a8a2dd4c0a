"""The reader study: its design, its statistics, and the published one re-derived."""
