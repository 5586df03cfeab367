"""The optional compiled parts; everything else about the package is in pyproject.toml.

A machine without a compiler gets the package without them: an extension that does not build is
left out with a warning, and `pip install` goes on. Nothing but Python's own headers is needed.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SOURCES = {
    "tag2mask.refine._crf": "src/tag2mask/refine/_crf.cpp",
    "tag2mask.evaluate._components": "src/tag2mask/evaluate/_components.cpp",
    "tag2mask.evaluate._tally": "src/tag2mask/evaluate/_tally.cpp",
    "tag2mask.nn._superpixels": "src/tag2mask/nn/_superpixels.cpp",
}
# No -march: what is built here may run elsewhere, and the sources choose while running.
# No contraction: what is fused is said in the source, and every machine gets the same numbers.
UNIX = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
MICROSOFT = ["/std:c++17", "/O2", "/EHsc"]


class BuildWithFlags(build_ext):
    """Each compiler its own spelling of the same wishes."""

    def build_extensions(self) -> None:
        flags = MICROSOFT if self.compiler.compiler_type == "msvc" else UNIX
        for extension in self.extensions:
            extension.extra_compile_args = flags
        super().build_extensions()


def extension(name: str, source: str) -> Extension:
    """An extension of one source file, and the headers beside it."""
    folder = (ROOT / source).parent
    headers = sorted(str(path.relative_to(ROOT)) for path in folder.glob("csrc/*.hpp"))
    return Extension(name, [source], depends=headers, language="c++", optional=True)


setup(
    ext_modules=[
        extension(name, source) for name, source in SOURCES.items() if (ROOT / source).exists()
    ],
    cmdclass={"build_ext": BuildWithFlags},
)
