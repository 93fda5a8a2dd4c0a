"""Measures: arrays of images, moments or features in, numbers out."""
