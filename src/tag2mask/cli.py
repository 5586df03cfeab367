"""The commands. Types are the one source: every option is a field of a component's dataclass."""

from __future__ import annotations

import ast
import errno
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import MISSING, field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, cast

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tag2mask import commands, demos
from tag2mask.data import DataOptions
from tag2mask.data.compose import ComposeOptions
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, method_name
from tag2mask.masks import MaskOptions
from tag2mask.methods import METHODS
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.pipeline import UNTIL, Until
from tag2mask.predicting import PredictOptions, predict
from tag2mask.takeaway import ExportOptions, export
from tag2mask.train import TrainOptions

SHORT: Final[dict[str, tuple[str, type[Any], str]]] = {
    # what people type: what it stands for, and the field whose docstring explains it
    "--backbone": ("--backbone.name", BackboneOptions, "name"),
    "--weights": ("--backbone.weights", BackboneOptions, "weights"),
    "--stride": ("--backbone.stride", BackboneOptions, "stride"),
    "--background": ("--masks.background", MaskOptions, "background"),
}
COMMON: Final = (
    ("--tags", DataOptions, "tags"),
    ("--truth", DataOptions, "truth"),
    ("--classes", DataOptions, "classes"),
    ("--split", DataOptions, "split"),
    ("--test-split", DataOptions, "test_split"),
    ("--skip-bad", DataOptions, "skip_bad"),
    ("--saliency", DataOptions, "saliency"),
    ("--size", Experiment, "size"),
    ("--train.steps", TrainOptions, "steps"),
    ("--train.epochs", TrainOptions, "epochs"),
    ("--refine", Experiment, "refine"),
    ("--seed", Experiment, "seed"),
    ("--accelerator", Experiment, "accelerator"),
    ("--devices", Experiment, "devices"),
    ("--precision", Experiment, "precision"),
)
USAGE: Final = """tag2mask: segment images from image-level tags alone.

  tag2mask fit PHOTOS --tags tags.csv --out runs/mine    pseudo masks, a network and a report
  tag2mask predict RUN IMAGES... --out DIR [--overlay]   masks for new photographs, no tags needed
  tag2mask export RUN --onnx                             the network, for other programs
  tag2mask export RUN --coco --voc --cvat ...            its masks, for other programs
  tag2mask score RUN [--truth DIR]                       the run's scores again; from a few masks
  tag2mask compare RUN RUN... [--html FILE]              runs side by side
  tag2mask tune PHOTOS --vary train.steps=100,200 ...    which options do best, judged without masks
  tag2mask data check PHOTOS --tags tags.csv             what is there, before anyone trains
  tag2mask data compose --out DIR                        a practice set with exact masks
  tag2mask demo [--quick] [--out runs/demo]              all of it on a composed set
  tag2mask demo solar [--quick] [--out runs/solar]       ... on photographs of solar cells, no masks
  tag2mask doctor                                        what this machine has and uses

Each takes --help.
"""
TUNE_USAGE: Final = """tag2mask tune PHOTOS --tags tags.csv --out DIR --vary NAME=VALUES...

  --vary train.steps=100,200        an option by its dotted name, and values; several --vary: all
                                    combinations. `;` parts values that have a comma themselves.
  --vary method.rate=1e-4..1e-2:log a range, even in its logarithm; needs --trials
  --trials 20                       that many combinations, drawn by --seed
  --by tags                         what ranks, without truth: tags, agreement;
                                    with it (it says so): oracle-masks, oracle-network
  --jobs 2                          processes; one a device, or one on a CPU, if not given

Other options are those of `tag2mask fit`. The same command goes on where it stood. In DIR are
trials/, tune.json, tune.md, and the best: tag2mask fit --experiment DIR/experiment.json --out RUN
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit code 2 and one sentence on standard error for bad input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _dispatch(words)
    except InputError as error:
        _leave(str(error), 2)
    except KeyboardInterrupt:
        _leave("Stopped. The same command goes on where this one stood.", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        where = f" ({error.filename})" if error.filename else ""
        _leave(
            f"Cannot write: {error.strerror}{where}. What was finished is kept; make room or give "
            "a folder that can be written, and run the same command again.",
            2,
        )


def _leave(message: str, code: int) -> None:
    print(f"tag2mask: {message}", file=sys.stderr)
    raise SystemExit(code)


def _dispatch(words: list[str]) -> None:
    table: dict[str, Callable[[list[str]], None]] = {
        "fit": _fit,
        "predict": _predict,
        "export": _export,
        "score": _score,
        "compare": _compare,
        "data check": _check,
        "data compose": _compose,
        "tune": _tune,
        "demo": _demo,
        "demo solar": _demo_solar,
        "doctor": lambda words: commands.doctor(),
    }
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    if words[0] == "--version":
        print(commands.version())
        return
    two = " ".join(words[:2])
    name = two if words[0] == "data" or two in table else words[0]
    if name not in table:
        raise InputError(f"There is no command {name!r}; known are: {', '.join(table)}.")
    table[name](words[len(name.split()) :])


def _fit(words: list[str]) -> None:
    if not words or "-h" in words or "--help" in words:
        _short_help()
        return
    words, out = _take(words, "--out", "")
    words, until = _take(words, "--until", "report")
    if until not in UNTIL:
        raise InputError(f"--until {until} came; expected one of {', '.join(UNTIL)}.")
    experiment = _experiment(words, "fit PHOTOS")
    if not out:
        raise InputError("Where the run goes is missing; give a folder with --out runs/mine.")
    commands.fit_and_tell(experiment, Path(out), cast(Until, until))


def _tune(words: list[str]) -> None:
    if not words or {"-h", "--help"} & set(words):
        print(TUNE_USAGE, end="")
        return
    rest, given = words, {}
    for name, default in (("--out", ""), ("--by", "tags"), ("--trials", ""), ("--jobs", "")):
        rest, given[name] = _take(rest, name, default)
    vary = []
    while any(word == "--vary" or word.startswith("--vary=") for word in rest):
        rest, value = _take_first(rest, "--vary")
        vary.append(value)
    experiment = _experiment(rest, "tune PHOTOS")
    if not given["--out"]:
        raise InputError("Where the trials go is missing; give a folder with --out runs/search.")
    trials, jobs = (_count(name, given[name]) for name in ("--trials", "--jobs"))
    commands.tune_and_tell(experiment, vary, Path(given["--out"]), given["--by"], trials, jobs)


def _count(name: str, value: str) -> int | None:
    if value and not value.isdecimal():
        raise InputError(f"{name} {value} came; expected a whole number.")
    return int(value) if value else None


def _experiment(words: list[str], command: str) -> Experiment:
    """What the words say, or what a file says and the words change."""
    words, file = _take(words, "--experiment", "")
    stored = commands.stored_experiment(Path(file)) if file else None
    usual = "cam" if stored is None else method_name(stored.method)
    words, method = _take(words, "--method", usual)
    if stored is not None and method != usual:
        raise InputError(
            f"--method {method} came, but {file} has the options of {usual}; leave one of them out."
        )
    kind = _experiment_type(method, words)
    begin = None if stored is None else kind(**_values(stored))
    parsed: Any = tyro.cli(
        kind,
        prog=f"tag2mask {command} --method {method} --out RUN",
        description="Every option of every stage.",
        default=begin,
        args=["--help"] if "--help-all" in words else _expand(_hosted(words, method), "--photos"),
    )
    return Experiment(**_values(parsed))


def _values(options: Any) -> dict[str, Any]:
    return {member.name: getattr(options, member.name) for member in fields(options)}


def _experiment_type(method: str, words: Sequence[str]) -> type[Any]:
    """`Experiment` with the chosen method's options under the method's name."""
    if method not in METHODS:
        raise InputError(f"There is no method {method!r}; known are: {', '.join(METHODS)}.")
    for word in words:
        room = word.removeprefix("--").split(".")[0]
        if word.startswith("--") and "." in word and room in METHODS and room != method:
            raise InputError(f"{word} belongs to the method {room}; add --method {room}.")
    options = METHODS[method].Options
    kinds: dict[str, Any] = {
        "data": Annotated[DataOptions, tyro.conf.arg(name="")],
        "method": Annotated[options, tyro.conf.arg(name=method)],
    }
    docs = field_docs(Experiment)
    members: list[tuple[str, Any, Any]] = []
    for member in fields(Experiment):
        kind = kinds.get(member.name, _resolved(Experiment)[member.name])
        if member.name in docs:
            kind = Annotated[kind, tyro.conf.arg(help=docs[member.name])]
        if member.name == "method":
            default = field(default_factory=options)
        elif member.default_factory is not MISSING:
            default = field(default_factory=member.default_factory)
        elif member.default is not MISSING:
            default = field(default=member.default)
        else:
            default = field()
        members.append((member.name, kind, default))
    return make_dataclass("Fit", members, frozen=True)


def _resolved(kind: type[Any]) -> dict[str, Any]:
    return inspect.get_annotations(kind, eval_str=True)


def _hosted(words: Sequence[str], method: str) -> list[str]:
    """Write out `--host`, which is an option of the method."""
    given = [word for word in words if word.partition("=")[0] == "--host"]
    can = [m for m, room in METHODS.items() if "host" in {f.name for f in fields(room.Options)}]
    if given and method not in can:
        raise InputError(f"--host came, but {method} sits on none; it goes with {', '.join(can)}.")
    return [f"--{method}.{word[2:]}" if word in given else word for word in words]


def _expand(words: Sequence[str], positional: str) -> list[str]:
    """Write out what stands for more: a leading folder, and the short options."""
    parts = [word.partition("=") for word in words]
    long = ["".join((SHORT[p[0]][0] if p[0] in SHORT else p[0], *p[1:])) for p in parts]
    return [positional, *long] if long and not long[0].startswith("-") else long


def _take_first(words: list[str], name: str) -> tuple[list[str], str]:
    """An option that may be given several times: the first of them."""
    place = next(n for n, w in enumerate(words) if w == name or w.startswith(f"{name}="))
    length = 1 if "=" in words[place].partition(name)[2][:1] else 2
    _, value = _take(words[place : place + length], name, "")
    return words[:place] + words[place + length :], value


def _take(words: list[str], name: str, default: str) -> tuple[list[str], str]:
    """One option out of the words."""
    rest, value = [], default
    stream = iter(words)
    for word in stream:
        if word == name:
            value = next(stream, "")
            if not value or value.startswith("--"):
                raise InputError(f"{name} needs a value.")
        elif word.startswith(f"{name}="):
            value = word.split("=", 1)[1]
        else:
            rest.append(word)
    return rest, value


def _short_help() -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("--out", "Folder of the run; the same command resumes it.")
    table.add_row("--method", f"One of: {', '.join(METHODS)} (default cam).")
    table.add_row("--host", "What fbr, ssc or eps sits on (default cam; for ssc drs).")
    rows = [*COMMON, *((flag, kind, name) for flag, (_, kind, name) in SHORT.items())]
    for flag, kind, name in rows:
        text = " ".join(field_docs(kind).get(name, "").split())
        default = next(f.default for f in fields(kind) if f.name == name)
        shown = "" if default in (MISSING, None, False) else f" [{default}]"
        table.add_row(Text(flag), Text(f"{text}{shown}"))
    console = Console()
    console.print("tag2mask fit PHOTOS --tags tags.csv --out runs/mine [options]\n")
    console.print(table)
    console.print("\n--help-all shows every option of every stage.")


def field_docs(kind: type[Any]) -> dict[str, str]:
    """The docstring below each field of a dataclass, inherited ones with their own."""
    docs: dict[str, str] = {}
    for part in reversed([base for base in kind.__mro__ if is_dataclass(base)]):
        docs |= _own_docs(part)
    return docs


def _own_docs(kind: type[Any]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    docs = {}
    for first, second in itertools.pairwise(body):
        named = isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name)
        text = isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant)
        if named and text:
            docs[first.target.id] = " ".join(str(second.value.value).split())  # type: ignore
    return docs


def _predict(words: list[str]) -> None:
    names, rest = _leading(words)
    if len(names) < 2 and not {"-h", "--help"} & set(words):
        raise InputError("predict needs a run and photographs: tag2mask predict RUN IMAGES...")
    given = ["--run", names[0], "--images", *names[1:]] if names else []
    predict(tyro.cli(PredictOptions, prog="tag2mask predict", args=[*given, *rest]))


def _export(words: list[str]) -> None:
    names, rest = _leading(words)
    if len(names) != 1 and not {"-h", "--help"} & set(words):
        raise InputError("export needs one run: tag2mask export RUN --onnx")
    given = ["--run", names[0]] if names else []
    export(tyro.cli(ExportOptions, prog="tag2mask export", args=[*given, *rest]))


def _leading(words: list[str]) -> tuple[list[str], list[str]]:
    """The words before the first option, and the rest."""
    first = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    return words[:first], words[first:]


def _score(words: list[str]) -> None:
    words, truth = _take(words, "--truth", "")
    if len(words) != 1 or words[0].startswith("-"):
        print("tag2mask score RUN: print the scores of a run.")
        print("  --truth DIR   true masks of some training photographs, drawn at random: the mean")
        print("                IoU of all of them, with an interval")
        return
    commands.score(Path(words[0]), Path(truth) if truth else None)


def _compare(words: list[str]) -> None:
    words, html = _take(words, "--html", "")
    if not words or any(word.startswith("-") for word in words):
        print("tag2mask compare RUN RUN...: runs side by side.")
        print("  --html FILE   two runs, photograph by photograph, on a page")
        return
    commands.compare([Path(word) for word in words], Path(html) if html else None)


def _check(words: list[str]) -> None:
    options = tyro.cli(DataOptions, prog="tag2mask data check", args=_expand(words, "--photos"))
    commands.check_data(options)


def _compose(words: list[str]) -> None:
    words, out = _take(words, "--out", "")
    options = tyro.cli(ComposeOptions, prog="tag2mask data compose --out DIR", args=words)
    if not out:
        raise InputError("Where the pictures go is missing; give a folder with --out DIR.")
    commands.compose_data(options, Path(out))


def _demo_solar(words: list[str]) -> None:
    demos.demo_solar(tyro.cli(demos.SolarOptions, prog="tag2mask demo solar", args=words))


def _demo(words: list[str]) -> None:
    demos.demo(tyro.cli(demos.DemoOptions, prog="tag2mask demo", args=words))
