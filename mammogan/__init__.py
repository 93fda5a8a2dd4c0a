"""Mammograms from a progressively grown GAN, and how real they are: a reproducible paper as a library."""

import sys

__version__ = "0.1.0"

if sys.platform == "win32":  # locks on files, signals, processes by fork
    raise ImportError("mammogan runs on Linux and macOS; on Windows install it within WSL.")
