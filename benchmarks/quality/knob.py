"""What a background that gives its class away costs: scores along the co-occurrence knob.

    for k in 0 0.5 0.9 1; do
        tag2mask data compose --co-occurrence $k --out co/$k --images 200 --size 160
    done
    python benchmarks/quality/table.py 0=co/0@160 0.5=co/0.5@160 0.9=co/0.9@160 1=co/1@160 \
        --rows cam rec rtc --until masks --remember --out runs/knob
    python benchmarks/quality/knob.py runs/knob --rows cam rec rtc --plot knob.png

Reads runs that `table.py` made on data that `tag2mask data compose` wrote. Scores are of the
pseudo masks at their blind level, unless another column is asked for.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from table import COLUMNS, ROWS, ROWS_HELP, machine, named_row, spread

from tag2mask.experiment import from_json
from tag2mask.storage import read_json, write_text

MASKS: Final = "pseudo masks, blind level"
Scores = dict[str, dict[float, list[float]]]  # row → knob → a score a seed


def scores(folder: Path, rows: Sequence[str], column: str) -> Scores:
    """Of every finished run on composed pictures, by the knob they were composed with."""
    found: Scores = {row: {} for row in rows}
    for row in rows:
        for file in sorted(folder.glob(f"*-{row.replace(' ', '-')}-[0-9]*/scores.json")):
            photos = from_json(read_json(file.parent / "experiment.json")).data.photos
            composed = photos.parent / "compose.json"
            if composed.is_file():
                knob = float(read_json(composed)["options"]["co_occurrence"])
                score = COLUMNS[column](read_json(file)["splits"])
                found[row].setdefault(knob, []).append(score)
    return found


def table(found: Scores) -> str:
    """Markdown, a line a row; the last column is what the highest knob costs against the lowest."""
    knobs = sorted({knob for values in found.values() for knob in values})
    lines = ["| row | " + " | ".join(f"{knob:g}" for knob in knobs) + " | cost |"]
    lines.append("|---|" + "--:|" * (len(knobs) + 1))
    for row, values in found.items():
        if not values:
            continue
        cells = [spread(values.get(knob, [])) for knob in knobs]
        ends = [values.get(knob) for knob in (knobs[0], knobs[-1])]
        cost = "–"
        if ends[0] and ends[1]:
            cost = f"{100 * (statistics.mean(ends[1]) - statistics.mean(ends[0])):+.1f}"
        lines.append(f"| {' | '.join([row, *cells, cost])} |")
    return "\n".join(lines) + "\n"


def plot(found: Scores, column: str, path: Path) -> None:
    """A line a row, with the spread over seeds."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.4), layout="constrained")
    for row, values in found.items():
        knobs = sorted(values)
        means = [100 * statistics.mean(values[k]) for k in knobs]
        wide = [100 * statistics.stdev(values[k]) if len(values[k]) > 1 else 0 for k in knobs]
        axes.errorbar(knobs, means, wide, label=row, capsize=2)
    axes.set(xlabel="co-occurrence", ylabel=f"mIoU, %: {column}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table, draw the lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where table.py put its runs")
    parser.add_argument("--rows", nargs="+", type=named_row, default=list(ROWS), help=ROWS_HELP)
    parser.add_argument("--column", choices=list(COLUMNS), default=MASKS)
    parser.add_argument("--plot", type=Path, help="picture of the lines")
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    found = scores(given.folder, given.rows, given.column)
    text = f"{table(found)}\n{machine()}\n"
    print(text)
    if given.write:
        write_text(given.write, text)
    if given.plot:
        plot(found, given.column, given.plot)


if __name__ == "__main__":
    main()
