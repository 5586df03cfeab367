"""How scores are read and written for people; tables and page agree because both ask here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Scores = Mapping[str, Any]  # as scores.json holds them

NO_TRUTH: Final = "No truth was given, so nothing is scored."
ORACLE: Final = "oracle (uses truth)"
ABSENT: Final = "–"
SETTINGS: Final = ("I", "I+S", "masks")  # apart in every table: more supervision, better numbers


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal, without the sign; a dash where there is none.

    >>> percent(0.6349), percent(None)
    ('63.5', '–')
    """
    return ABSENT if value is None else f"{100 * value:.1f}"


def level(score: Scores) -> str:
    """The background level and who chose it, a dash for a stage without one.

    >>> level({"level": 0.35, "level_source": "blind"})
    '0.35 blind'
    """
    if score.get("level") is None:
        return ABSENT
    source = score.get("level_source") or ""
    return f"{score['level']:.2f} {ORACLE if source == 'oracle' else source}".rstrip()


def setting(scores: Scores) -> str:
    """What taught a run: "I" (tags), "I+S" (tags and saliency) or "masks"; runs of before are "I".

    >>> setting({"setting": "I+S"}), setting({})
    ('I+S', 'I')
    """
    return str(scores.get("setting", SETTINGS[0]))


def mean(values: Mapping[str, float | None]) -> float | None:
    """The mean over the classes that have a value.

    >>> mean({"cat": 0.5, "dog": None, "owl": 1.0})
    0.75
    """
    known = [value for value in values.values() if value is not None]
    return sum(known) / len(known) if known else None


def duration(seconds: float) -> str:
    """A time as a person says it.

    >>> duration(42.4), duration(702.0), duration(7384.0)
    ('42 s', '11 min 42 s', '2 h 3 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def stages(scores: Scores) -> Iterator[tuple[str, str, Scores]]:
    """Every (split, stage, its scores) that truth allowed to score, in the order of the file."""
    for split, rows in (scores.get("splits") or {}).items():
        for stage, score in (rows or {}).items():
            if score is not None:
                yield split, stage, score
