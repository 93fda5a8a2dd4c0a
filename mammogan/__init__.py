"""Mammograms from a progressively grown GAN, and how real they are: a reproducible paper as a library."""

__version__ = "0.1.0"
