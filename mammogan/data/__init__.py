"""Read an archive into a store: select images, bring them to one grid, keep them."""
