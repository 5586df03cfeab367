"""Line charts as plain coordinates, which the page's template draws as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tag2mask.report.numbers import ORACLE, Scores, percent

WIDTH: Final = 440  # in units of the SVG, near to pixels on a phone
HEIGHT: Final = 240
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 28, 40
POINTS: Final = 160  # a longer log is averaged down to as many points

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One series; `points` in the SVG's own coordinates."""

    name: str
    points: str


@dataclass(frozen=True, slots=True)
class Tick:
    position: float
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One value on the horizontal axis worth naming, with the height it reaches."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template needs to draw lines over two axes."""

    title: str
    description: str  # what a reader who cannot see it should know
    across: str
    up: str
    lines: tuple[Line, ...]
    columns: tuple[Tick, ...]
    rows: tuple[Tick, ...]
    marks: tuple[Mark, ...] = ()


def threshold_chart(title: str, score: Scores) -> Chart | None:
    """The mIoU over the background level, with the level in use and the oracle's marked."""
    curve = score.get("curve")
    if not curve or len(curve["levels"]) < 2:
        return None
    series = list(zip(curve["levels"], curve["miou"], strict=True))
    frame = _Frame(series)
    marks, sentence = [], ""
    if score.get("level") is not None:
        name = f"{score.get('level_source') or 'level'} {score['level']:.2f}"
        marks.append(Mark(name, *frame.place((score["level"], score["miou"]))))
        sentence += f" {name}: {percent(score['miou'])}."
    if score.get("oracle") is not None:
        best = score["oracle"]
        name = f"{ORACLE} {best['level']:.2f}"
        marks.append(Mark(name, *frame.place((best["level"], best["miou"]))))
        sentence += f" {name}: {percent(best['miou'])}."
    return Chart(
        title=title,
        description=f"mIoU over the background level.{sentence}",
        across="background level",
        up="mIoU, %",
        lines=(Line("mIoU", frame.path(series)),),
        columns=frame.columns(),
        rows=frame.rows(factor=100.0),
        marks=tuple(marks),
    )


def loss_chart(title: str, log: Sequence[Mapping[str, Any]]) -> Chart | None:
    """The objective and its terms over the steps of a training.

    A single term is the objective, so it gets no line of its own. Neighbouring steps are
    averaged where there are more than can be told apart; values that are not finite are left out.
    """
    names = list(dict.fromkeys(name for entry in log for name in entry.get("terms", {})))
    series = {"total": _series((entry["step"], entry["total"]) for entry in log)}
    if len(names) > 1:
        for name in names:
            pairs = ((e["step"], e["terms"][name]) for e in log if name in e.get("terms", {}))
            series[name] = _series(pairs)
    series = {name: points for name, points in series.items() if points}
    if len(series.get("total", ())) < 2:
        return None
    frame = _Frame([(0.0, 0.0), *(point for points in series.values() for point in points)])
    first, last = series["total"][0], series["total"][-1]
    return Chart(
        title=title,
        description=f"The objective goes from {first[1]:.3g} to {last[1]:.3g}.",
        across="step",
        up="loss",
        lines=tuple(Line(name, frame.path(points)) for name, points in series.items()),
        columns=frame.columns(),
        rows=frame.rows(),
    )


def _series(pairs: Any) -> list[Point]:
    """Finite points, averaged in groups down to at most `POINTS`."""
    points = [(float(x), float(y)) for x, y in pairs if y is not None and math.isfinite(y)]
    group = math.ceil(len(points) / POINTS) or 1
    groups = [points[start : start + group] for start in range(0, len(points), group)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


class _Frame:
    """Maps values into the drawing area; the vertical axis always holds zero."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.low = min(x for x, _ in points)
        self.high = max(x for x, _ in points)
        self.ground = min(0.0, *(y for _, y in points))
        self.step = _round_step(max(0.0, *(y for _, y in points)) - self.ground)
        top = max(0.0, *(y for _, y in points))
        self.ground = math.floor(self.ground / self.step) * self.step
        self.ceiling = max(self.ground + self.step, math.ceil(top / self.step - 1e-9) * self.step)

    def place(self, point: Point) -> Point:
        across = (point[0] - self.low) / ((self.high - self.low) or 1.0)
        up = (point[1] - self.ground) / (self.ceiling - self.ground)
        x = LEFT + across * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    def path(self, points: Sequence[Point]) -> str:
        return " ".join("{},{}".format(*self.place(point)) for point in points)

    def columns(self) -> tuple[Tick, ...]:
        step = _round_step(self.high - self.low)
        numbers = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        values = [number * step for number in numbers]
        return tuple(Tick(self.place((x, 0.0))[0], f"{x:.6g}") for x in values)

    def rows(self, factor: float = 1.0) -> tuple[Tick, ...]:
        count = round((self.ceiling - self.ground) / self.step)
        values = [self.ground + number * self.step for number in range(count + 1)]
        return tuple(Tick(self.place((self.low, y))[1], f"{factor * y:.6g}") for y in values)


def _round_step(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts the span into three to seven pieces."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(power * step for step in (1, 2, 5, 10) if span / (power * step) <= 7)
