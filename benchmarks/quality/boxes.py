"""Where is the object: boxes of the maps of every row, over seeds.

    python benchmarks/quality/boxes.py runs/quality --set pets600 --rows cam ssc rtc

Reads runs that `table.py` made (`--until masks` is enough): boxes of the raw maps of the training
photographs. MaxBoxAcc, MaxBoxAccV2, Top-1 and Top-5 choose their level on the truth (*oracle*);
GT-known is told twice, at the level that was chosen blind and at the best one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from table import ROWS, ROWS_HELP, machine, named_row, spread, taught_by

from tag2mask.storage import read_json, write_text

COLUMNS: Final[dict[str, Callable[[dict[str, Any]], float]]] = {
    "GT-known, blind level": lambda maps: maps["accuracy"],
    "GT-known (MaxBoxAcc)": lambda maps: maps["oracle"]["max_box_acc"],
    "MaxBoxAccV2": lambda maps: maps["oracle"]["max_box_acc_v2"],
    "Top-1": lambda maps: maps["oracle"]["top1"],
    "Top-5": lambda maps: maps["oracle"]["top5"],
}


def scored(folder: Path, name: str, row: str) -> list[dict[str, Any]]:
    """What the runs of a row say of the boxes of their maps, seed by seed."""
    files = sorted(folder.glob(f"{name}-{row}-[0-9]*/scores.json"))
    return [read_json(file)["boxes"]["train"]["maps"] for file in files]


def table(folder: Path, name: str, rows: Sequence[str]) -> str:
    """Markdown; in percent, mean ± deviation over seeds."""
    heads = ("row", "taught by", "seeds", *COLUMNS)
    lines = [f"| {' | '.join(heads)} |", "|---|---|--:|" + "--:|" * len(COLUMNS)]
    for row in rows:
        runs = scored(folder, name, row)
        if runs:
            cells = [spread([read(run) for run in runs]) for read in COLUMNS.values()]
            lines.append(f"| {' | '.join([row, taught_by(row), str(len(runs)), *cells])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table of what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where table.py put its runs")
    parser.add_argument("--set", required=True, help="name of the data set in the runs")
    parser.add_argument("--rows", nargs="+", type=named_row, default=list(ROWS), help=ROWS_HELP)
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    text = f"{table(given.folder, given.set, given.rows)}\n{machine()}\n"
    print(text)
    if given.write:
        write_text(given.write, text)


if __name__ == "__main__":
    main()
