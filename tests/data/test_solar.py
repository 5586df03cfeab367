from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tag2mask.data import open_data, solar
from tag2mask.errors import InputError

GROUPS = {
    (0.0, "mono"): 20,
    (0.0, "poly"): 8,
    (1 / 3, "poly"): 4,
    (2 / 3, "mono"): 4,
    (1.0, "poly"): 8,
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """What the package looks like where it is installed."""
    folder = tmp_path / "package"
    (folder / "images").mkdir(parents=True)
    lines = []
    for (probability, kind), count in GROUPS.items():
        for _ in range(count):
            name = f"cell{len(lines):04d}.png"
            (folder / "images" / name).write_bytes(b"never decoded here")
            lines.append(f"images/{name}  {probability}   {kind}\n")
    (folder / "labels.csv").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setattr(solar, "find_package", lambda: folder)
    return folder


def test_every_group_is_held_out_alike_and_likely_defects_are_tagged(package, tmp_path):
    data = open_data(solar.write_solar(tmp_path / "out"))
    cells = {cell.id: cell for cell in solar.read_cells(package / "labels.csv")}
    assert data.train.classes == ("defective",)
    assert data.test is not None
    for photos, share in ((data.train.photos, 0.75), (data.test.photos, 0.25)):
        found = Counter((cells[p.id].probability, cells[p.id].kind) for p in photos)
        assert found == {group: count * share for group, count in GROUPS.items()}
        assert all(bool(p.tags) == (cells[p.id].probability > 0.5) for p in photos)
    assert not {p.id for p in data.train.photos} & {p.id for p in data.test.photos}
    assert "CC BY-NC-SA 4.0" in (tmp_path / "out" / "LICENSES.md").read_text(encoding="utf-8")
    assert data.truth is None


def test_fewer_of_every_group_and_the_seed_decides_which(package, tmp_path):
    chosen = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        data = open_data(solar.write_solar(tmp_path / name, 22, seed))
        chosen[name] = [p.id for p in (*data.train.photos, *data.test.photos)]
    assert chosen["one"] == chosen["again"] != chosen["other"]
    assert len(set(chosen["one"])) == 22
    everything = open_data(solar.write_solar(tmp_path / "most", 9999))
    assert len(everything.train.photos) + len(everything.test.photos) == sum(GROUPS.values())


def test_a_package_that_is_not_there_or_is_another(package, tmp_path, monkeypatch):
    (package / "labels.csv").write_text("images/cell0000.png 1.0\n", encoding="utf-8")
    with pytest.raises(InputError, match="expected lines such as"):
        solar.write_solar(tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(solar, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tag2mask\[solar\]'"):
        solar.write_solar(tmp_path / "out")
    assert not Path(tmp_path / "out").exists()
