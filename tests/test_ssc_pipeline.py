"""SSC the whole way on a drawn set, on both hosts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from oracles.shapes import draw_set, fit_words

from tag2mask.cli import main


@pytest.mark.parametrize("host", ["drs", "cam"])
def test_ssc_goes_the_whole_way(host: str, tmp_path: Path) -> None:
    drawn, out = draw_set(tmp_path / "set"), tmp_path / "run"
    words = ("--method", "ssc", "--host", host, "--ssc.width", "8")
    main(fit_words(drawn, out, *words, "--ssc.warmup", "0.5", "--until", "masks"))
    assert len(list((out / "cues").glob("*.safetensors"))) == 10
    lines = (out / "classifier" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(json.loads(lines[-1])["terms"]) == {"tags", "reconstruction", "modulation"}
    assert len(list((out / "masks").glob("*.png"))) == 10
    stored = json.loads((out / "experiment.json").read_text(encoding="utf-8"))
    assert stored["method_name"] == "ssc"
    assert stored["method"]["host"] == host
