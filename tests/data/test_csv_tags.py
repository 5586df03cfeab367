"""Tables of tags as people write them, and the sentence that each broken one gets."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag2mask.data.csv_tags import read_tags
from tag2mask.errors import InputError


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "tags.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "id,tags\na,cat dog\nb,\n",
        "id,tags\na,cat;dog\nb,\n",
        "id,tags\na,cat|dog\nb,\n",
        'id,tags\na,"cat,dog"\nb,\n',
        'id,tags\r\na,"dog, cat, cat"\r\n\r\nb,""\r\n',
        "id;tags\na;cat,dog\nb;\n",
        "image\tlabels\na\tcat dog\nb\tbackground\n",
        "﻿File;Tags\na;cat dog\nb;\n",
    ],
)
def test_one_column_of_tags(tmp_path: Path, text: str) -> None:
    found = read_tags(table(tmp_path, text))
    assert found.rows == {"a": ("cat", "dog"), "b": ()}
    assert found.columns is None
    assert found.names() == ("cat", "dog")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_one_column_per_class_keeps_the_order_of_the_columns(
    tmp_path: Path, delimiter: str
) -> None:
    lines = ["id,zebra,polar bear,ant", "a,1,0,1", "b,0,0,0"]
    found = read_tags(table(tmp_path, "\n".join(lines).replace(",", delimiter), "utf-8-sig"))
    assert found.names() == ("zebra", "polar bear", "ant")
    assert found.rows == {"a": ("zebra", "ant"), "b": ()}


def test_photographs_are_never_numbers(tmp_path: Path) -> None:
    found = read_tags(table(tmp_path, "id,tags\n007,cat\n7,dog\n1e3,cat\n1000,cat\n"))
    assert list(found.rows) == ["007", "7", "1e3", "1000"]


def test_names_with_spaces_where_another_separator_is_used(tmp_path: Path) -> None:
    found = read_tags(table(tmp_path, "id,tags\na,polar bear;cat\nb,polar bear\n"))
    assert found.rows == {"a": ("cat", "polar bear"), "b": ("polar bear",)}


def test_known_classes_decide_what_a_space_means(tmp_path: Path) -> None:
    path = table(tmp_path, "id,tags\na,polar bear\nb,cat\n")
    assert read_tags(path, classes=("polar bear", "cat")).rows["a"] == ("polar bear",)
    assert read_tags(path, classes=("polar", "bear", "cat")).rows["a"] == ("bear", "polar")


def test_the_separator_given_is_the_one_used(tmp_path: Path) -> None:
    path = table(tmp_path, "id,tags\na,black cat+dog\n")
    assert read_tags(path, separator="+").rows == {"a": ("black cat", "dog")}


names = st.text("abcdé猫 '\"-_", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(
    rows=st.dictionaries(
        st.text("ab01é/.", min_size=1, max_size=8), st.sets(names, max_size=4), min_size=1
    ),
    separator=st.sampled_from(["|", ";", ","]),
    delimiter=st.sampled_from([",", ";", "\t"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: dict[str, set[str]],
    separator: str,
    delimiter: str,
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(("id", "tags"))
    writer.writerows((name, separator.join(tags)) for name, tags in rows.items())
    path = table(tmp_path_factory.mktemp("table"), stream.getvalue())
    found = read_tags(path, separator=separator).rows
    assert found == {name: tuple(sorted(tags)) for name, tags in rows.items()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,cat\nb,dog\n", r"unknown column 'a'; expected a first line such as id,tags"),
        ("id\na\n", r"no two columns; expected a first line such as id,tags"),
        ("", r"no two columns"),
        (",,\n", r"no two columns"),
        (f"id,tags\na,{'x' * 200_000}\n", r"cannot be read after line 1 \(field larger"),
        ("id,tags\n", r"has no rows"),
        ("id,tags,comment\na,cat,x\n", r"unknown column 'comment'.*Take the column out"),
        ("id,tags\na,cat\nb,dog\na,dog\n", r"'a' has two rows .*\(lines 2 and 4\).*Join"),
        ("id,tags\na,cat,dog\n", r"Line 2 .* has 3 cells; expected 2.*quotes"),
        ("id,tags\n,cat\n", r"Line 2 .* names no photograph"),
        ("id,cat,dog\na,1,0\nb,yes,0\n", r"'b' in column 'cat' \(line 3 .* is 'yes'; expected 0"),
        ("id,cat,dog\na,1,\n", r"'a' in column 'dog' .* is ''; expected 0 or 1"),
        ("id,cat,cat\na,1,0\n", r"column 'cat' twice"),
        ('id,tags\na,"cat\n', r"cannot be read after line 1"),
    ],
)
def test_each_broken_table_gets_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_tags(table(tmp_path, text))


def test_a_tag_that_is_no_class(tmp_path: Path) -> None:
    path = table(tmp_path, "id,tags\na,cat\nb,cat dgo\n")
    with pytest.raises(InputError, match=r"tag 'dgo' in line 3 .* expected 'cat', 'dog'"):
        read_tags(path, classes=("cat", "dog"))


def test_a_column_that_is_no_class(tmp_path: Path) -> None:
    path = table(tmp_path, "id,cat,width\na,1,0\n")
    with pytest.raises(InputError, match=r"unknown column 'width'.*one per class \('cat', 'dog'\)"):
        read_tags(path, classes=("cat", "dog"))


def test_a_table_that_is_not_there_not_text_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv is not there"):
        read_tags(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=r"not UTF-8 text. Save it as UTF-8"):
        read_tags(table(tmp_path, "id,tags\na,Füchsin\n", "latin-1"))
    with pytest.raises(InputError, match=r"cannot be read"):
        read_tags(tmp_path)
