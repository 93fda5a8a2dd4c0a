"""From an archive to a store: read, select, place, keep."""
