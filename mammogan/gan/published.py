"""What the paper prints about architectures: Figure 5, pixel resolutions reported in the literature."""

# Name in the figure, height and width in pixels, key of the reference in book/references.bib.
RESOLUTIONS = (
    ("WGAN-GP", (128, 128), "gulrajani2017"),
    ("StarGAN", (128, 128), "choi2018"),
    ("Glow", (256, 256), "kingma2018"),
    ("CycleGAN", (512, 512), "zhu2017"),
    ("BigGAN", (512, 512), "brock2019"),
    ("PGGAN", (1024, 1024), "karras2018"),
    ("the paper's", (1280, 1024), "korkinof2021"),
)
