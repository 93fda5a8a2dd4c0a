"""Add the image viewer OpenSeadragon to a wheel; everything else is in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

VIEWER = Path("node_modules", "openseadragon")  # npm ci puts it there
FILES = ("build/openseadragon/openseadragon.min.js", "LICENSE.txt")


class BuildWithViewer(build_py):
    """Copy the viewer and its license into the package; an editable installation finds them in node_modules."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        if not VIEWER.is_dir():
            self.warn("node_modules/openseadragon is missing: `mammogan study build` needs it; run npm ci first")
            return
        target = Path(self.build_lib, "mammogan", "reader_study", "static", "openseadragon")
        target.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            shutil.copyfile(VIEWER / file, target / Path(file).name)


setup(cmdclass={"build_py": BuildWithViewer})
