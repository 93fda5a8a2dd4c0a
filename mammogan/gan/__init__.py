"""The progressively grown GAN: networks, schedule, losses, training, checkpoints and sampling."""
