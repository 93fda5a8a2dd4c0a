"""Artifacts of a generator: what there is to find, where to look first, a page to label it, and what the labels say."""
