"""The page's first line: the one number that matters most, and how far it can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tag2mask.report.numbers import percent

PREFERRED: Final = (("test", "network"), ("train", "network"), ("train", "masks"))
CALLED: Final = {
    ("test", "network"): "mIoU of the network on {count} held-out photographs",
    ("train", "network"): "mIoU of the network on the {count} photographs it was taught with",
    ("train", "masks"): "mIoU of the pseudo masks on {count} photographs",
}


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer of the first screen.

    Attributes:
        number: as people read it.
        unit: behind the number, small.
        what: what it is a number of.
        asides: further lines, the strong part of each first.
        doubtful: photographs somebody should look at, of `estimated`; None if nothing was.
    """

    number: str
    unit: str
    what: str
    asides: tuple[tuple[str, str], ...] = ()
    doubtful: int | None = None
    estimated: int = 0


def headline(scores: Mapping[str, Any], quality: Mapping[str, Any] | None) -> Headline:
    """What to say first: the score with truth, the estimated one with a little, doubts without.

    Args:
        scores: as in scores.json; `powered` holds what a little truth says of all photographs.
        quality: as in quality.json.
    """
    splits = scores.get("splits") or {}
    found = [(place, splits[place[0]].get(place[1])) for place in PREFERRED if place[0] in splits]
    known = [(place, score) for place, score in found if score]
    powered = scores.get("powered") or {}
    doubtful, estimated = _doubts(quality)
    if powered:
        first, *rest = powered.items()
        return Headline(
            percent(first[1]["mean"]),
            f"± {percent((first[1]['high'] - first[1]['low']) / 2)}",
            _powered(*first),
            tuple((percent(entry["mean"]), _powered(name, entry)) for name, entry in rest),
            doubtful,
            estimated,
        )
    if known:
        (place, score), *rest = known
        asides = [(percent(s["miou"]), CALLED[p].format(count=s["images"])) for p, s in rest]
        return Headline(
            percent(score["miou"]),
            "",
            CALLED[place].format(count=score["images"]) + _spread(score),
            tuple(asides),
            doubtful,
            estimated,
        )
    if doubtful is None:
        return Headline("–", "", "no truth was given, so nothing is scored")
    number = f"{estimated - doubtful}"
    what = "pseudo masks that nothing speaks against; no truth was given, so nothing is scored"
    return Headline(number, f"of {estimated}", what, (), doubtful, estimated)


def _spread(score: Mapping[str, Any]) -> str:
    """How far it might be on other photographs like these."""
    if not score.get("interval"):
        return ""
    low, high = score["interval"]
    return f"; 95\u00a0% interval over photographs {percent(low)} … {percent(high)}"


def _powered(name: str, entry: Mapping[str, Any]) -> str:
    return (
        f"mean IoU of a photograph, {name}, all {entry['total']} of them; estimated from truth for "
        f"{entry['known']} (95 % interval {percent(entry['low'])} … {percent(entry['high'])})"
    )


def _doubts(quality: Mapping[str, Any] | None) -> tuple[int | None, int]:
    photographs = (quality or {}).get("photographs") or {}
    if not photographs:
        return None, 0
    return sum(bool(entry["doubts"]) for entry in photographs.values()), len(photographs)
