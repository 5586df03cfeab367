"""Photographs of solar cells with a tag and no mask: the data of the package elpv-dataset.

2,624 electroluminescence photographs of 300 × 300 pixels, from 44 modules, each with how likely a
defect is in it: 0, 1/3, 2/3 or 1, said by people and never where. From a probability of 0.5 on a
cell is tagged `defective`; the others have no tag, and show what a cell looks like without one.

S. Deitsch, V. Christlein, S. Berger, C. Buerhop-Lutz, A. Maier, F. Gallwitz, C. Riess: Automatic
classification of defective photovoltaic module cells in electroluminescence images. Solar Energy
185, 2019. The photographs are CC BY-NC-SA 4.0: not for commercial use.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tag2mask.data.options import DataOptions
from tag2mask.errors import InputError
from tag2mask.storage import write_text

INSTALL: Final = "pip install 'tag2mask[solar]'"
DEFECTIVE: Final = "defective"
LIKELY: Final = 0.5  # from here on the person who looked said defective rather than functional
TEST_SHARE: Final = 0.25  # as in the paper
NOTICE: Final = """The photographs are those of the Python package elpv-dataset, read where it is
installed and not copied: Sergiu Deitsch and others, https://github.com/zae-bayern/elpv-dataset.
Licence: CC BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/). Masks drawn over
them fall under it as well: name the authors, no commercial use, share alike.
"""


@dataclass(frozen=True, slots=True)
class SolarCell:
    """One cell as the package lists it.

    Attributes:
        id: the photograph's file without suffix.
        probability: of a defect, 0 … 1.
        kind: "mono" or "poly", how its silicon was grown.
    """

    id: str
    probability: float
    kind: str


def write_solar(out: Path, most: int | None = None, seed: int = 0) -> DataOptions:
    """Write the table of tags, the classes and two splits, and say where the photographs are.

    Args:
        most: photographs to take, the same share of every group (probability, kind); all if None.
        seed: decides which, and which of them are held out.

    Raises:
        InputError: the package is not installed, or holds something else.
    """
    folder = find_package()
    cells = read_cells(folder / "labels.csv")
    train, test = split_cells(cells, min(1.0, (most or len(cells)) / len(cells)), seed)
    rows = [f"{c.id},{DEFECTIVE if c.probability >= LIKELY else ''}" for c in [*train, *test]]
    write_text(out / "tags.csv", "\n".join(["id,tags", *sorted(rows)]) + "\n")
    write_text(out / "classes.txt", f"{DEFECTIVE}\n")
    write_text(out / "LICENSES.md", NOTICE)
    for name, chosen in (("train", train), ("test", test)):
        write_text(out / "splits" / f"{name}.txt", "".join(f"{c.id}\n" for c in chosen))
    return DataOptions(
        photos=folder / "images",
        tags=out / "tags.csv",
        classes=out / "classes.txt",
        split=str(out / "splits" / "train.txt"),
        test_split=str(out / "splits" / "test.txt"),
    )


def find_package() -> Path:
    """The folder of the installed package's data: `labels.csv` and `images/`."""
    found = find_spec("elpv_dataset")
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "The photographs of solar cells are those of the package elpv-dataset, which is not "
            f"installed; install it with {INSTALL} (91 MB, CC BY-NC-SA 4.0)."
        )
    return Path(next(iter(found.submodule_search_locations))) / "data"


def read_cells(table: Path) -> list[SolarCell]:
    """The package's table: path, probability and kind, parted by spaces.

    Raises:
        InputError: not there, or laid out in another way.
    """
    try:
        lines = [line.split() for line in table.read_text(encoding="utf-8").splitlines()]
        return [SolarCell(Path(p).stem, float(value), kind) for p, value, kind in lines]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{table} cannot be read ({error}); expected lines such as images/cell0001.png 1.0 "
            f"mono. Install the package anew: {INSTALL}."
        ) from None


def split_cells(
    cells: Sequence[SolarCell], share: float, seed: int
) -> tuple[list[SolarCell], list[SolarCell]]:
    """Training and held-out cells, drawn by the seed, every group (probability, kind) alike.

    Args:
        share: how much of every group is taken at all, 0 … 1.
    """
    groups: dict[tuple[float, str], list[SolarCell]] = {}
    for cell in cells:
        groups.setdefault((cell.probability, cell.kind), []).append(cell)
    draw, train, test = random.Random(seed), [], []
    for key in sorted(groups):
        taken = draw.sample(groups[key], round(share * len(groups[key])))
        held_out = round(TEST_SHARE * len(taken))
        test += taken[:held_out]
        train += taken[held_out:]
    return sorted(train, key=lambda c: c.id), sorted(test, key=lambda c: c.id)
