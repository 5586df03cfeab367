"""What VOC and COCO share: lists of ids to splits, and splits with a truth to data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tag2mask.data.assemble import Lookup, check_classes, examples, fingerprint
from tag2mask.data.collection import Collection, Data, Skipped, TrueInstances, Truth
from tag2mask.data.options import DataOptions
from tag2mask.data.truth import MaskFolder
from tag2mask.errors import InputError


def find_listed(
    lines: Iterable[str], photographs: Mapping[str, Path]
) -> tuple[list[str], list[str]]:
    """The ids that lines of a list name, each once, and the lines that name no photograph.

    Args:
        lines: an id or a file name each; empty ones are left out.

    Raises:
        InputError: a line may mean several photographs.
    """
    lookup = Lookup(photographs)
    found: dict[str, None] = {}
    gone = []
    for line in filter(None, (line.strip() for line in lines)):
        name = lookup.find(line)
        if name is None:
            gone.append(line)
        else:
            found[name] = None
    return list(found), gone


def leave_out(skipped: Iterable[Skipped], skip_bad: bool) -> tuple[Skipped, ...]:
    """What cannot be used, as it is counted under `skip_bad`.

    Raises:
        InputError: something cannot be used, and `skip_bad` is off.
    """
    listed = tuple(skipped)
    if listed and not skip_bad:
        others = f" {len(listed) - 1} more cannot be used." if len(listed) > 1 else ""
        raise InputError(f"{listed[0].reason}{others} Mend it, or leave it out with --skip-bad.")
    return listed


def join(
    layout: str,
    options: DataOptions,
    train: Collection,
    test: Collection | None,
    own: Truth | None,
    own_instances: TrueInstances | None = None,
) -> Data:
    """Check the splits against each other and add the truth.

    Args:
        own: the truth that the layout itself holds; `options.truth` goes before it.
        own_instances: its objects, told apart.

    Raises:
        InputError: a photograph in both splits, an empty class, or a given truth without a mask
            for any photograph.
    """
    held_out = {photo.id for photo in test.photos} if test else set()
    both = sorted(held_out & {photo.id for photo in train.photos})
    if both:
        raise InputError(
            f"The photographs {examples(both)} are in both splits; expected training and test to "
            "be apart. Take them out of one."
        )
    check_classes(train)
    photos = [*train.photos, *(test.photos if test else ())]
    truth = own if options.truth is None else MaskFolder(options.truth, len(train.classes))
    if truth is not None and not any(photo.id in truth for photo in photos):
        if options.truth is not None:
            raise InputError(
                f"No mask in {options.truth} belongs to a photograph; expected names such as "
                f"{photos[0].id}.png. Check the folder."
            )
        truth = None
    return Data(layout, train, test, truth, fingerprint([train, test]), instances=own_instances)
