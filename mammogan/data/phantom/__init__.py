"""A procedural population of compressed breasts, so that everything can be tried and tested without a patient."""
