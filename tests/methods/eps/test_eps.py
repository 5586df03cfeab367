"""EPS as a room: its options, its hosts, and what an experiment makes of saliency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tag2mask.data import DataOptions
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, from_json, method_name, needed_cues, to_json
from tag2mask.methods import METHODS
from tag2mask.methods.cam import CAMOptions
from tag2mask.methods.drs import DRSOptions
from tag2mask.methods.eps import EPS, EPSOptions
from tag2mask.methods.fbr import FBROptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.types import Cue, TagBatch

PLAIN = DataOptions(Path("photos"))
SALIENT = DataOptions(Path("photos"), saliency=Path("saliency"))


def test_it_is_in_the_table() -> None:
    assert METHODS["eps"] is EPS
    assert EPS.Options is EPSOptions


@pytest.mark.parametrize(
    ("host", "more"),
    [
        ("cam", set()),
        (
            "ppc",
            {"lowest", "equivariance", "cross", "cross prototype", "cross label", "intra view"},
        ),
    ],
)
def test_options_reach_the_host(host: Any, more: set[str]) -> None:
    torch.manual_seed(0)
    backbone = Backbone(BackboneOptions("test_efficientnet", "none"))
    room = EPS(EPSOptions(host=host, alpha=0.3, consistent=0.6), backbone, 3)
    assert (room.host.alpha, room.host.consistent) == (0.3, 0.6)
    cues = {Cue.SALIENCY: torch.rand(1, 96, 96)}
    images, tags = torch.rand(1, 3, 96, 96) * 255, torch.tensor([[True, False, True]])
    assert (
        set(room.losses(TagBatch(("a",), images, tags, cues), 0.0))
        == {
            "tags",
            "saliency",
        }
        | more
    )
    maps = room.localize(images, tags)
    torch.testing.assert_close(maps, room.host.evidence(images, tags))
    assert float(maps.detach().sum(dim=1).max()) < 1  # the background has its share


@pytest.mark.parametrize("wrong", [{"alpha": 1.5}, {"consistent": -0.1}])
def test_shares_are_shares(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=f"--eps.{name} {wrong[name]} came; expected a share"):
        EPSOptions(**wrong)


@pytest.mark.parametrize(
    ("options", "host"),
    [
        (EPSOptions(), "cam"),
        (FBROptions(), "eps"),
        (FBROptions(host="ppc", sure=0.4), "ppc-eps"),
        (FBROptions(host="eps"), "eps"),
    ],
)
def test_saliency_turns_on_the_setting_that_learns_from_it(options: Any, host: str) -> None:
    found = Experiment(SALIENT, method=options)
    method: Any = found.method
    assert method.host == host
    assert Cue.SALIENCY in needed_cues(found.method)
    assert getattr(method, "sure", None) == getattr(options, "sure", None)
    stored = {**to_json(found), "method_name": method_name(found.method)}
    assert from_json(stored) == found


@pytest.mark.parametrize("options", [EPSOptions(), FBROptions(host="eps")])
def test_without_saliency_it_says_what_to_give(options: Any) -> None:
    with pytest.raises(InputError, match=r"learns from saliency, and none was given; expected --s"):
        Experiment(PLAIN, method=options)
    assert Experiment(PLAIN, method=options, teacher="truth").method == options


@pytest.mark.parametrize("options", [CAMOptions(), DRSOptions(), FBROptions(host="drs")])
def test_saliency_that_nothing_learns_from_is_refused(options: Any) -> None:
    with pytest.raises(InputError, match=r"--saliency came, but .* no use of it; take --method"):
        Experiment(SALIENT, method=options)
