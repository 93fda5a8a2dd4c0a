"""Measures: arrays of images, moments or features in, numbers out.

A `ParameterError` says which argument is not as a docstring requires: too few images, a shape, or a value that is not
finite (see `validation`).
"""
