"""How well masks judged without truth are ordered: rank correlation with their true IoU.

    python benchmarks/quality/estimates.py runs/quality/*-cam-[01]

Each argument is a run of `tag2mask fit` with maps, masks and truth; a network's predictions are
used where they are finished. Every measure of every tagged training photograph is computed again,
with the classifier asked again, and nothing is written into the run; what was measured is kept in
`--out` as JSON and not measured again. Beside the correlations: how many masks are doubtful, the
true IoU of those and of the others, and how often 20 photographs with truth give an interval that
holds the mean over all of them (1,000 draws), with and without the estimates.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any, Final

import torch
from scipy import stats
from table import machine

from tag2mask.data import open_data, read_tagged
from tag2mask.estimates import Judge, look_again
from tag2mask.evaluate import confusion, powered_mean, scores
from tag2mask.evaluate.quality import doubts, estimate
from tag2mask.experiment import from_json
from tag2mask.runs import Run
from tag2mask.stages import Context, usable
from tag2mask.storage import read_json, read_labels, write_json, write_text

FEW: Final = 20
DRAWS: Final = 1000


def measured(run: Path, out: Path) -> list[dict[str, Any]]:
    """Measures, doubts and true IoU of every photograph that has tags and truth."""
    kept = out / f"estimates-{run.name}.json"
    if kept.is_file():
        rows: list[dict[str, Any]] = read_json(kept)
        return rows
    experiment = from_json(read_json(run / "experiment.json"))
    context = Context(experiment, Run(run), open_data(experiment.data))
    truth = context.data.truth
    photos = [p for p in usable(context, context.data.train) if p.tags and truth and p.id in truth]
    judge, again, rows = Judge(context), look_again(context, photos), []
    for photo in photos:
        item = read_tagged(photo, context.classes)
        labels = read_labels(run / "masks" / f"{photo.id}.png")
        true = truth.read(photo.id, tuple(labels.shape)).truth if truth else labels
        table = confusion(true, labels, context.classes)
        iou = scores(table).iou
        measures = judge.measures(item) | again[photo.id]
        rows.append(
            {
                "id": photo.id,
                "miou": scores(table).miou,
                "tags": statistics.mean(iou[tag] or 0.0 for tag in photo.tags),
                "doubtful": bool(doubts(measures, judge.empty(item))),
                "estimate": estimate(measures),
                **measures,
            }
        )
    write_json(kept, rows)
    return rows


def column(rows: list[dict[str, Any]]) -> dict[str, str]:
    """What one run has to say."""
    names = [name for name in rows[0] if name not in ("id", "miou", "tags", "doubtful")]
    truth, found = [row["miou"] for row in rows], {}
    for name in names:
        rank = stats.spearmanr([row[name] for row in rows], truth).statistic
        found[name] = f"{rank:.2f}"
    tags = [row["tags"] for row in rows]
    rank = stats.spearmanr([row["estimate"] for row in rows], tags).statistic
    found["estimate, against IoU of the tagged classes alone"] = f"{rank:.2f}"
    split = {flag: [r["miou"] for r in rows if r["doubtful"] is flag] for flag in (True, False)}
    found["doubtful, %"] = f"{100 * len(split[True]) / len(rows):.0f}"
    for flag, name in ((True, "true IoU of the doubtful"), (False, "true IoU of the others")):
        found[name] = f"{100 * statistics.mean(split[flag]):.1f}" if split[flag] else "–"
    return found | _intervals(rows)


def _intervals(rows: list[dict[str, Any]]) -> dict[str, str]:
    estimates = torch.tensor([row["estimate"] for row in rows], dtype=torch.float64)
    truth = torch.tensor([row["miou"] for row in rows], dtype=torch.float64)
    generator, mean = torch.Generator().manual_seed(0), float(truth.mean())
    held, alone, width, lone = 0, 0, [], []
    for _ in range(DRAWS):
        known = torch.randperm(len(rows), generator=generator)[:FEW]
        found = powered_mean(estimates, known, truth[known])
        held += found.low <= mean <= found.high
        alone += found.plain_low <= mean <= found.plain_high
        width.append(100 * (found.high - found.low) / 2)
        lone.append(100 * (found.plain_high - found.plain_low) / 2)
    return {
        "mean IoU of a photograph": f"{100 * mean:.1f}",
        "interval from 20, ±": f"{statistics.mean(width):.1f}",
        "holds it, of 1,000 draws, %": f"{100 * held / DRAWS:.1f}",
        "interval from 20 without estimates, ±": f"{statistics.mean(lone):.1f}",
        "without estimates, holds it, %": f"{100 * alone / DRAWS:.1f}",
    }


def main() -> None:
    """Measure what is not measured yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for what was measured")
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    columns = {run.name: column(measured(run, given.out)) for run in given.runs}
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for name in names:
        lines.append(f"| {name} | {' | '.join(c.get(name, '–') for c in columns.values())} |")
    text = "\n".join(lines) + f"\n\n{machine()}\n"
    print(text)
    if given.write:
        write_text(given.write, text)


if __name__ == "__main__":
    main()
