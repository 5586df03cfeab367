"""What a run remembers: stamps, stages, and whose folder it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tag2mask.errors import InputError
from tag2mask.runs import Run, existing_run, open_run, stamp_of

IDENTITY = {"photographs": "mine", "classes": ["cat", "dog"], "method": "cam"}


def test_a_stamp_does_not_depend_on_the_order_of_its_inputs() -> None:
    one = stamp_of(a={"x": 1, "y": [1, 2]}, b="ä")
    assert one == stamp_of(b="ä", a={"y": [1, 2], "x": 1})
    assert one == stamp_of(b="ä", a={"y": (1, 2), "x": 1})  # as JSON has it


@pytest.mark.parametrize(
    "other", [{"a": 1}, {"a": 1, "b": 2.5}, {"a": 1, "b": "2"}, {"a": 2, "b": 1}, {"ab": 12}]
)
def test_a_stamp_depends_on_every_input(other: dict[str, Any]) -> None:
    assert stamp_of(a=1, b=2) != stamp_of(**other)


def test_a_stamp_depends_on_the_order_inside_a_list() -> None:
    assert stamp_of(scales=[1, 2]) != stamp_of(scales=[2, 1])


def test_names_of_files_that_are_no_unicode_have_stamps() -> None:
    assert stamp_of(id="\udcff") != stamp_of(id="\udcfe")


def content(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_stage_is_done(tmp_path: Path) -> None:
    run = Run(tmp_path)
    stage = run.stage("maps", rate=1)
    assert not stage.done
    stage.file("sub/a.b", ".png").parent.mkdir()
    stage.file("sub/a.b", ".png").write_bytes(b"work")
    stage.finish()
    again = run.stage("maps", rate=1)
    assert again.done
    assert again.stamp == stage.stamp
    assert content(tmp_path / "maps") == ["stamp", "sub"]
    assert (tmp_path / "maps" / "sub" / "a.b.png").read_bytes() == b"work"


def test_a_started_stage_keeps_its_work(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.stage("maps", rate=1).file("a", ".png").write_bytes(b"work")
    again = run.stage("maps", rate=1)
    assert not again.done
    assert again.file("a", ".png").read_bytes() == b"work"


@pytest.mark.parametrize("finished", [True, False])
def test_a_stage_with_other_inputs_is_emptied(tmp_path: Path, finished: bool) -> None:
    run = Run(tmp_path)
    stage = run.stage("maps", rate=1)
    stage.file("a", ".png").write_bytes(b"work")
    if finished:
        stage.finish()
    other = run.stage("maps", rate=2)
    assert not other.done
    assert content(tmp_path / "maps") == ["started"]


def test_stages_with_equal_inputs_have_stamps_of_their_own(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.stage("maps", rate=1).stamp != run.stage("masks", rate=1).stamp


def test_files_of_unknown_origin_are_not_taken_for_work(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.png").write_bytes(b"stranger")
    Run(tmp_path).stage("maps", rate=1)
    assert content(tmp_path / "maps") == ["started"]


def test_a_stage_killed_while_being_emptied_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    stage = run.stage("maps", rate=1)
    for photo in "abc":
        stage.file(photo, ".png").write_bytes(b"work")
    stage.finish()

    def killed(folder: Path) -> None:
        (folder / "a.png").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            run.stage("maps", rate=2)
    assert not run.stage("maps", rate=1).done


def test_a_stage_killed_while_finishing_is_done(tmp_path: Path) -> None:
    run = Run(tmp_path)
    stage = run.stage("maps", rate=1)
    (stage.folder / "stamp").write_text(stage.stamp)  # and "started" still there
    assert run.stage("maps", rate=1).done
    assert not run.stage("maps", rate=2).done


def test_a_run_is_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    run = open_run(folder, IDENTITY)
    run.stage("maps", rate=1).finish()
    assert open_run(folder, IDENTITY) == run
    assert run.stage("maps", rate=1).done


def test_an_empty_folder_becomes_a_run(tmp_path: Path) -> None:
    assert open_run(tmp_path, IDENTITY).folder == tmp_path


def test_the_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    open_run(tmp_path, IDENTITY)
    before = (tmp_path / "identity.json").read_bytes()
    with pytest.raises(InputError) as caught:
        open_run(tmp_path, {**IDENTITY, "method": "ssc", "classes": ["cat"]})
    assert str(caught.value) == (
        f"--out {tmp_path} holds another run (different: classes, method); "
        "give another folder, or remove this one."
    )
    assert (tmp_path / "identity.json").read_bytes() == before


@pytest.mark.parametrize("key", ["added", "photographs"])
def test_what_only_one_run_has_is_named(tmp_path: Path, key: str) -> None:
    open_run(tmp_path, IDENTITY)
    other: dict[str, Any] = {**IDENTITY, "added": 1}
    if key in IDENTITY:
        other = {k: v for k, v in IDENTITY.items() if k != key}
    with pytest.raises(InputError, match=rf"\(different: {key}\)"):
        open_run(tmp_path, other)


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not empty and holds no run; give a new folder"):
        open_run(tmp_path, IDENTITY)
    assert content(tmp_path) == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with pytest.raises(InputError, match="file is a file; expected a folder"):
        open_run(tmp_path / "file", IDENTITY)
    assert (tmp_path / "file").read_text() == "content"


def test_a_run_killed_at_its_first_write_can_start_again(tmp_path: Path) -> None:
    (tmp_path / ".identity.json.4711.tmp").write_text('{"photogr')
    assert open_run(tmp_path, IDENTITY).folder == tmp_path


def test_a_run_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no run .* that --out of `tag2mask fit` named"):
        existing_run(tmp_path)
    (tmp_path / "experiment.json").write_text("{}")
    assert existing_run(tmp_path) == Run(tmp_path)
