"""Tables of tags: one column of tags, or one column per class with 0 and 1."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tag2mask.data.assemble import examples, read_text
from tag2mask.errors import InputError

ID_COLUMNS: Final = frozenset(
    {"id", "image", "image_id", "image_name", "img", "file", "filename", "file_name", "name"}
    | {"path", "photo", "photograph"}
)
TAG_COLUMNS: Final = frozenset({"tags", "tag", "labels", "label", "classes", "class"})
DELIMITERS: Final = (",", ";", "\t")
SEPARATORS: Final = ("|", ";", ",", " ")  # the space last: it may be part of a name
BACKGROUND: Final = "background"  # as a tag: nothing else is there
_PRESENCE: Final = {"0": False, "1": True, "0.0": False, "1.0": True}


@dataclass(frozen=True, slots=True)
class TagTable:
    """What a table says.

    Attributes:
        rows: names of the classes present, by the photograph as it is written in the table.
        columns: the classes in the order of their columns; None where one column has the tags.
    """

    rows: dict[str, tuple[str, ...]]
    columns: tuple[str, ...] | None

    def names(self) -> tuple[str, ...]:
        """The classes: the columns, or every tag that occurs, sorted."""
        if self.columns is not None:
            return self.columns
        return tuple(sorted({name for tags in self.rows.values() for name in tags}))


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: list[str]


def read_tags(
    path: Path, separator: str | None = None, classes: Sequence[str] | None = None
) -> TagTable:
    """Read a table of tags (UTF-8; cells parted by comma, semicolon or tab).

    The first line names the columns. Photographs stay text: "007" is not 7.

    Args:
        separator: what stands between tags; where None, the one of "|", ";", "," and space that
            gives nothing but known classes, or the first that occurs.
        classes: the classes that are known; None where the table decides.

    Raises:
        InputError: unreadable, an unknown column, a photograph twice, a cell that is not 0 or
            1, or a tag that is no class.
    """
    header, rows = _read_cells(path)
    if header[0].casefold() not in ID_COLUMNS:
        raise InputError(
            f"The table {path} begins with the unknown column {header[0]!r}; expected a first "
            "line such as id,tags or id,CLASS,CLASS. Add it."
        )
    _refuse_duplicates(path, rows)
    if any(name.casefold() in TAG_COLUMNS for name in header[1:]):
        return _one_column(path, header, rows, separator, classes)
    return _column_per_class(path, header, rows, classes)


def _read_cells(path: Path) -> tuple[list[str], list[_Row]]:
    text = unicodedata.normalize("NFC", read_text(path, "table of tags"))
    header, *rows = _parse(path, text)
    if len(header.cells) < 2:
        raise InputError(
            f"The table {path} has no two columns; expected a first line such as id,tags and "
            "cells parted by comma, semicolon or tab."
        )
    for row in rows:
        if len(row.cells) != len(header.cells):
            raise InputError(
                f"Line {row.line} of {path} has {len(row.cells)} cells; expected "
                f"{len(header.cells)}, as in the first line. Put tags with commas in quotes."
            )
        if not row.cells[0]:
            raise InputError(f"Line {row.line} of {path} names no photograph. Fill its first cell.")
    if not rows:
        raise InputError(f"The table {path} has no rows; expected one per photograph.")
    return header.cells, rows


def _parse(path: Path, text: str) -> list[_Row]:
    """The rows that are not empty; one of no cells where there is none."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    line = 1
    rows = []
    try:
        delimiter = max(DELIMITERS, key=lambda mark: _count(first, mark))
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for cells in reader:
            line = reader.line_num
            rows.append(_Row(line, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise InputError(
            f"The table {path} cannot be read after line {line} ({error}). Correct it."
        ) from None
    return [row for row in rows if any(row.cells)] or [_Row(1, [])]


def _count(line: str, delimiter: str) -> int:
    """How many cells a line has, quotes heeded."""
    return len(next(csv.reader([line], delimiter=delimiter), []))


def _refuse_duplicates(path: Path, rows: Sequence[_Row]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        name = row.cells[0]
        if name in seen:
            raise InputError(
                f"The photograph {name!r} has two rows in {path} (lines {seen[name]} and "
                f"{row.line}); expected one. Join them."
            )
        seen[name] = row.line


def _one_column(
    path: Path,
    header: Sequence[str],
    rows: Sequence[_Row],
    separator: str | None,
    classes: Sequence[str] | None,
) -> TagTable:
    unknown = [name for name in header[1:] if name.casefold() not in TAG_COLUMNS]
    if unknown or len(header) > 2:
        column = unknown[0] if unknown else header[2]
        raise InputError(
            f"The table {path} has the unknown column {column!r}; expected one column of "
            "photographs and one of tags. Take the column out."
        )
    cells = [row.cells[1] for row in rows]
    chosen = separator if separator is not None else _find_separator(cells, classes)
    found = {}
    for row in rows:
        tags = sorted({tag for tag in _part(row.cells[1], chosen) if tag != BACKGROUND})
        wrong = [tag for tag in tags if classes is not None and tag not in classes]
        if wrong:
            raise InputError(
                f"The tag {wrong[0]!r} in line {row.line} of {path} is not a class; expected "
                f"{examples(classes or ())}. Correct it or add it to the list of classes."
            )
        found[row.cells[0]] = tuple(tags)
    return TagTable(found, None)


def _find_separator(cells: Sequence[str], classes: Sequence[str] | None) -> str:
    """The separator that gives only known classes; else the first that occurs; else a space.

    "" where every cell is one class as it stands.
    """
    if classes is not None:
        known = {*classes, BACKGROUND}
        for mark in ("", *SEPARATORS):
            if all(known.issuperset(_part(cell, mark)) for cell in cells):
                return mark
    return next((mark for mark in SEPARATORS if any(mark in cell for cell in cells)), " ")


def _part(cell: str, separator: str) -> list[str]:
    parts = cell.split(separator) if separator else [cell]
    return [part.strip() for part in parts if part.strip()]


def _column_per_class(
    path: Path, header: Sequence[str], rows: Sequence[_Row], classes: Sequence[str] | None
) -> TagTable:
    columns = header[1:]
    unknown = [name for name in columns if classes is not None and name not in classes]
    unknown = [name for name in unknown if name != BACKGROUND]
    if unknown or not all(columns):
        column = unknown[0] if unknown else ""
        raise InputError(
            f"The table {path} has the unknown column {column!r}; expected a column called tags "
            f"or one per class ({examples(classes or ('cat', 'dog'))}). Rename the column or "
            "take it out."
        )
    twice = [name for number, name in enumerate(columns) if name in columns[:number]]
    if twice:
        raise InputError(f"The table {path} has the column {twice[0]!r} twice; keep one.")
    kept = tuple(name for name in columns if name != BACKGROUND)
    found = {}
    for row in rows:
        present = {}
        for name, cell in zip(columns, row.cells[1:], strict=True):
            if cell not in _PRESENCE:
                raise InputError(
                    f"The cell of {row.cells[0]!r} in column {name!r} (line {row.line} of {path}) "
                    f"is {cell!r}; expected 0 or 1, or a column of tags called tags."
                )
            present[name] = _PRESENCE[cell]
        found[row.cells[0]] = tuple(name for name in kept if present[name])
    return TagTable(found, kept)
