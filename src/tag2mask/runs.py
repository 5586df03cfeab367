"""Where a run's state lives on disk, and what need not be done again.

Every stage has a folder with a `stamp`: the hash of its configuration and of the stamps upstream.
Equal stamp: skip. Different: redo it and what follows. A stage that was interrupted has a
`started` file instead, and what it finished item by item is kept if that stamp is equal.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag2mask.errors import InputError
from tag2mask.storage import read_json, write_json, write_text


def stamp_of(**inputs: Any) -> str:
    """A hash over JSON values, independent of their order."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Stage:
    """One folder of a run.

    Attributes:
        done: nothing is left to do.
    """

    folder: Path
    stamp: str
    done: bool

    def file(self, photo: str, suffix: str) -> Path:
        """Where this stage keeps what belongs to one photograph."""
        return self.folder / f"{photo}{suffix}"

    def finish(self) -> None:
        """Say that the stage is whole; what a kill left half-written goes."""
        for leftover in self.folder.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        write_text(self.folder / "stamp", self.stamp)
        (self.folder / "started").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder."""

    folder: Path

    def stage(self, name: str, **inputs: Any) -> Stage:
        """Open a stage: done, to be resumed, or empty.

        Args:
            inputs: everything that decides its result, as JSON values; stamps upstream included.
        """
        folder, stamp = self.folder / name, stamp_of(stage=name, **inputs)
        if _read(folder / "stamp") == stamp:
            return Stage(folder, stamp, done=True)
        if folder.exists():
            (folder / "stamp").unlink(missing_ok=True)  # first: half a removal is not done
            if _read(folder / "started") != stamp:
                shutil.rmtree(folder)
        write_text(folder / "started", stamp)
        return Stage(folder, stamp, done=False)


def open_run(folder: Path, identity: Mapping[str, Any]) -> Run:
    """Start a run in a folder or go on with it.

    Args:
        identity: what makes it this run (data and method); other options may change, and the
            stages that depend on them are then done again.

    Raises:
        InputError: the folder holds another run, or something that is no run.
    """
    known = folder / "identity.json"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; expected a folder to write the run into.")
    if known.is_file():
        other = read_json(known)
        if other != dict(identity):
            different = sorted(k for k in {*other, *identity} if other.get(k) != identity.get(k))
            raise InputError(
                f"--out {folder} holds another run (different: {', '.join(different)}); "
                "give another folder, or remove this one."
            )
    elif folder.is_dir() and any(not _left_over(path.name) for path in folder.iterdir()):
        raise InputError(
            f"--out {folder} is not empty and holds no run; give a new folder for the run."
        )
    write_json(known, dict(identity))
    return Run(folder)


def existing_run(folder: Path) -> Run:
    """A run that is there.

    Raises:
        InputError: the folder holds none.
    """
    if not (folder / "experiment.json").is_file():
        raise InputError(
            f"{folder} holds no run (no experiment.json in it); "
            "give the folder that --out of `tag2mask fit` named."
        )
    return Run(folder)


def _left_over(name: str) -> bool:
    """Whether a run that was killed at its very start leaves such a file."""
    return name == "times.json" or (name.startswith(".") and name.endswith(".tmp"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
