r"""Time two ways to the same result side by side, in one run.

    from side_by_side import compare, machine, table, versions

    print(machine(), versions("scikit-image"), sep="\n")
    rows = [compare("SLIC, 200 segments", ours, peer, agreement=same_fraction(ours(), peer()))]
    print(table(rows))

Repetitions are interleaved, and who goes first alternates, so that a load which comes and goes
meets both; the ratio is the median over the ratios of neighbours in time, not the ratio of the
medians. One call each before the clock starts fills the caches. Load torch, and set its threads,
before `machine()` is asked.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPETITIONS = 7
Action = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """What one line of the table says.

    Attributes:
        ours: seconds, median.
        peer: seconds, median.
        ratio: peer / ours, median over pairs of neighbouring repetitions.
        spread: quartiles of those ratios.
        agreement: how far both come to the same result; a fraction, or words.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    spread: tuple[float, float]
    agreement: float | str
    mark: float | None = None


def seconds(action: Action) -> float:
    """Wall-clock time of one call; the garbage collector waits."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start
    finally:
        gc.enable()


def compare(
    name: str,
    ours: Action,
    peer: Action,
    *,
    agreement: float | str,
    mark: float | None = None,
    repetitions: int = REPETITIONS,
) -> Comparison:
    """Medians of interleaved repetitions.

    Args:
        mark: the ratio that is aimed at; the table says whether it is reached.
    """
    ours(), peer()
    pairs = []
    for repetition in range(repetitions):
        if repetition % 2:
            pairs.append((seconds(ours), seconds(peer)))
        else:
            pairs.append((seconds(peer), seconds(ours))[::-1])
    ratios = [theirs / mine for mine, theirs in pairs]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Comparison(
        name,
        statistics.median(mine for mine, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        statistics.median(ratios),
        (low, high),
        agreement,
        mark,
    )


def same_fraction(first: object, second: object) -> float:
    """The fraction of equal entries, for label maps."""
    return float(np.mean(np.asarray(first) == np.asarray(second)))


def table(rows: Iterable[Comparison]) -> str:
    """A Markdown table, one line per comparison."""
    lines = [
        "| what | ours | peer | ratio | quartiles | mark | agreement |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        mark = "" if row.mark is None else f"≥ {row.mark:g}{'' if row.ratio >= row.mark else ' ✗'}"
        agreement = row.agreement if isinstance(row.agreement, str) else f"{row.agreement:.6f}"
        low, high = row.spread
        lines.append(
            f"| {row.name} | {duration(row.ours)} | {duration(row.peer)} | {row.ratio:.3g} "
            f"| {low:.3g} – {high:.3g} | {mark} | {agreement} |"
        )
    return "\n".join(lines)


def duration(value: float) -> str:
    """Seconds in a unit that a person reads."""
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def machine() -> str:
    """Processor, threads in use, system and versions, in one line."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else os.environ.get("OMP_NUM_THREADS", "?")
    return (
        f"{processor()}, {os.cpu_count()} hardware threads, {threads} in use, "
        f"{platform.system()}, Python {platform.python_version()}, {versions('numpy', 'torch')}"
    )


def processor() -> str:
    """The model's name where the system tells it."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions(*packages: str) -> str:
    """Name and installed version of every package."""
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
