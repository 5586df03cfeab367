"""A folder per class: the folder is the tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tag2mask.data.assemble import examples
from tag2mask.errors import InputError

UNTAGGED: Final = frozenset({"background", "none", "negative"})


def folder_tags(
    photographs: Mapping[str, Path], classes: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """The tag of every photograph: its uppermost folder, by id.

    Photographs in a folder "background", "none" or "negative" have no tag.

    Args:
        photographs: paths by id ("cat/1").
        classes: the classes that are known; None where the folders decide.

    Raises:
        InputError: a photograph in no folder, or a folder that is no class.
    """
    loose = [str(path) for name, path in photographs.items() if "/" not in name]
    if loose:
        raise InputError(
            f"The photographs {examples(loose)} lie in no class folder; expected every photograph "
            "in a folder named after its class. Move them, or give a table with --tags."
        )
    found: dict[str, tuple[str, ...]] = {}
    for name, path in photographs.items():
        folder = name.partition("/")[0]
        if folder.casefold() in UNTAGGED:
            found[name] = ()
        elif classes is None or folder in classes:
            found[name] = (folder,)
        else:
            raise InputError(
                f"The folder {folder!r} of {path} is not a class; expected {examples(classes)}. "
                "Rename it or add it to the list of classes."
            )
    return found
