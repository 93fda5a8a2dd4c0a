"""The progressively grown GAN: from a store to a run, and from a run to images."""
