"""What a search varies: options of an experiment by their dotted names, and values for each."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import math
import random
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, method_name, to_json

NONE: Final = "none"  # how a person writes that an option is not given
TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
ATTEMPTS: Final = 50  # draws for one new combination before a search counts as exhausted


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from low to high; drawn evenly, or evenly in their logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not finite or self.low >= self.high or (self.log and self.low <= 0):
            wanted = "0 < low < high" if self.log else "low < high"
            raise InputError(f"The range {self.low}..{self.high} came; expected {wanted}.")

    def draw(self, chance: random.Random) -> float:
        """One number."""
        if self.log:
            return math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        return chance.uniform(self.low, self.high)


Choices = Sequence[Any] | Range
Values = dict[str, Any]


def parse_vary(text: str) -> tuple[str, Choices]:
    """An option and its values as typed.

    `method.modulation=5,10,20`, `method.rate=1e-4..1e-2:log`; where a value has a comma of its
    own, semicolons part them: `refine=par;par,crf`. Several numbers of one option are parted by
    spaces: `localize.scales=1,1 1.5`.

    >>> parse_vary("train.steps=100,200")
    ('train.steps', ('100', '200'))
    >>> parse_vary("method.rate=1e-4..1e-2:log")
    ('method.rate', Range(low=0.0001, high=0.01, log=True))

    Raises:
        InputError: no name, or no value.
    """
    name, equals, written = (part.strip() for part in text.partition("="))
    if not name or not equals or not written:
        raise InputError(
            f"--vary {text!r} came; expected a name and values such as train.steps=100,200 or "
            "method.rate=1e-4..1e-2:log."
        )
    numbers, _, scale = written.partition(":")
    low, dots, high = numbers.partition("..")
    if dots and scale in ("", "log"):
        try:
            return name, Range(float(low), float(high), scale == "log")
        except ValueError:
            raise InputError(f"--vary {text!r} is no range; expected two numbers.") from None
    values = [part.strip() for part in written.split(";" if ";" in written else ",")]
    return name, tuple(part for part in values if part)


def option_names(options: Any, before: str = "") -> Iterator[str]:
    """Every option of an experiment by its dotted name, in order."""
    for member in dataclasses.fields(options):
        value = getattr(options, member.name)
        if dataclasses.is_dataclass(value):
            yield from option_names(value, f"{before}{member.name}.")
        else:
            yield f"{before}{member.name}"


def with_values(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The experiment with other values; together, for some are only allowed together.

    Raises:
        InputError: an option that is none, or a value that no run can have.
    """
    changed: Experiment = _replaced(experiment, {tuple(k.split(".")): v for k, v in values.items()})
    return changed


def _replaced(options: Any, values: Mapping[tuple[str, ...], Any]) -> Any:
    changes: dict[str, Any] = {}
    for head in dict.fromkeys(path[0] for path in values):
        inner = {path[1:]: value for path, value in values.items() if path[0] == head}
        changes[head] = inner.get(()) if () in inner else _replaced(getattr(options, head), inner)
    return dataclasses.replace(options, **changes)


def resolved_choices(experiment: Experiment, vary: Mapping[str, Choices]) -> dict[str, Choices]:
    """The same values as the options' types want them; a text such as "0.5" becomes 0.5.

    Raises:
        InputError: nothing to vary, an unknown name (with those nearest to it), or a value that
            does not fit the option.
    """
    if not vary:
        raise InputError("There is nothing to vary; say what: --vary train.steps=100,200.")
    known = list(option_names(experiment))
    found: dict[str, Choices] = {}
    for name, choices in vary.items():
        if name not in known:
            raise InputError(_unknown(name, known, method_name(experiment.method)))
        kind = _kind(experiment, name)
        if isinstance(choices, Range):
            if not {int, float} & set(_members(kind)):
                raise InputError(f"{name} takes no range; give values: {name}=A,B.")
            found[name] = choices
            continue
        if isinstance(choices, str) or not choices:
            raise InputError(f"{name} got {choices!r}; expected a list of values, or a Range.")
        found[name] = tuple(_converted(name, kind, value) for value in choices)
    return found


def plan(
    experiment: Experiment, choices: Mapping[str, Choices], trials: int | None = None
) -> list[Values]:
    """The combinations to try: every one, or as many as asked for, drawn by the run's seed.

    Args:
        choices: as `resolved_choices` gives them.
        trials: how many to draw, each another; the grid if None.

    Raises:
        InputError: a range without `trials`, or fewer than one trial.
    """
    ranges = [name for name, values in choices.items() if isinstance(values, Range)]
    if trials is None:
        if ranges:
            raise InputError(
                f"{ranges[0]} varies over a range, of which no grid has every value; say how many "
                "to draw with --trials 20."
            )
        lists = [dict.fromkeys(values) for values in choices.values()]  # type: ignore[arg-type]
        return [dict(zip(choices, values, strict=True)) for values in itertools.product(*lists)]
    if trials < 1:
        raise InputError(f"--trials {trials} came; expected 1 or more.")
    chance, drawn = random.Random(experiment.seed), dict[str, Values]()
    for _ in range(ATTEMPTS * trials):
        values = {name: _draw(experiment, name, values, chance) for name, values in choices.items()}
        drawn.setdefault(json.dumps(to_json(list(values.values()))), values)
        if len(drawn) == trials:
            break
    return list(drawn.values())


def _draw(experiment: Experiment, name: str, choices: Choices, chance: random.Random) -> Any:
    if not isinstance(choices, Range):
        return chance.choice(choices)
    number = choices.draw(chance)
    whole = float not in _members(_kind(experiment, name))
    return round(number) if whole else float(f"{number:.4g}")  # four digits, as people write them


def _unknown(name: str, known: Sequence[str], method: str) -> str:
    below = [other for other in known if other.startswith(f"{name}.")]
    if below:
        return f"{name} stands for several options; vary one of them: {', '.join(below)}."
    tail = name.rpartition(".")[2]
    near = [other for other in known if other.rpartition(".")[2] == tail]
    near = (near or difflib.get_close_matches(name, known, n=3, cutoff=0.5))[:3]
    hint = f"the nearest are {', '.join(near)}" if near else "expected such as train.steps"
    return f"There is no option {name!r} of an experiment with the method {method}; {hint}."


def _kind(options: Any, name: str) -> Any:
    """The type of an option."""
    head, _, rest = name.partition(".")
    if rest:
        return _kind(getattr(options, head), rest)
    return typing.get_type_hints(type(options))[head]


def _members(kind: Any) -> tuple[Any, ...]:
    """The types of a union; of any other type itself."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def _converted(name: str, kind: Any, value: Any) -> Any:
    """A value as the type wants it."""
    for member in sorted(_members(kind), key=lambda member: member is not types.NoneType):
        try:
            return _as(member, value)
        except (ValueError, TypeError):
            continue
    wanted = " or ".join(_spoken(member) for member in _members(kind))
    raise InputError(f"{name} got {value!r}; expected {wanted}.")


def _as(kind: Any, value: Any) -> Any:
    origin, text = typing.get_origin(kind), isinstance(value, str)
    if origin is typing.Literal:
        return _one_of(typing.get_args(kind), value)
    if origin is tuple:
        items = value.split() if text else tuple(value)
        inner = typing.get_args(kind)
        kinds = inner[:1] * len(items) if inner[-1] is Ellipsis else inner
        return tuple(_as(k, item) for k, item in zip(kinds, items, strict=True))
    if kind is types.NoneType:
        return None if value in (None, NONE) else _refuse()
    if kind is bool:
        return value if isinstance(value, bool) else _one_of(TRUTHS, value, TRUTHS)
    if kind is Path:
        return Path(value)
    if kind is str:
        return value if text else _refuse()
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        return _refuse()
    return kind(value)


def _one_of(known: Any, value: Any, meant: Mapping[Any, Any] | None = None) -> Any:
    if value not in known:
        return _refuse()
    return meant[value] if meant else value


def _refuse() -> Any:
    raise ValueError


def _spoken(kind: Any) -> str:
    """A type as a person says it."""
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(map(str, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        return "numbers"
    names = {types.NoneType: NONE, int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(kind, "text")
