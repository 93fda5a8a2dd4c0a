"""How close two sets of images are; everything here works on plain arrays."""
