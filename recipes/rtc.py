"""RTC on VOC, on a few hundred photographs, and without its parts one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recipes.settings import VOC_IMAGES, Wide, as_seam, small, voc
from tag2mask.experiment import Experiment
from tag2mask.methods.rtc import RTCOptions

PAPER = RTCOptions(scale=128 / 448, cell=2, width=256, middle=0.375, complete=True)
STEPS = 25 * VOC_IMAGES // 8  # 25 epochs, official code


def rtc_voc(
    root: Path, weights: str = "hub", seed: int = 0, backbone: Wide = "resnet50"
) -> Experiment:
    """VOC 2012, crop 448 of long sides 448 to 768, 25 epochs of 8 (official code); not run here.

    The second view has the paper's 16 × 16 cells.

    Args:
        root: as `voc` takes it.
        backbone: the paper's is wide_resnet38, whose weights are a file.
    """
    whole = as_seam(voc(root), PAPER, STEPS, weights, seed, backbone)
    looked = replace(whole.segment, scales=(0.5, 1.0, 1.5, 2.0), crf="irn")  # official code
    return replace(whole, segment=looked)


def rtc_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return small(photos, tags, RTCOptions(), seed, steps=300)


def rtc_ablation(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """RTC whole, and without each of its three parts: all else as `rtc_small`."""
    whole = RTCOptions()
    methods = {
        "rtc": whole,
        "rtc, shallow alone": replace(whole, representations="shallow"),
        "rtc, deep alone": replace(whole, representations="deep"),
        "rtc without contrast": replace(whole, contrast=0.0),
        "rtc without compensator": replace(whole, compensation=0.0),
        "rtc, compensator as released": replace(whole, alike=False),
    }
    base = rtc_small(photos, tags, seed)
    return [replace(base, method=method, name=name) for name, method in methods.items()]
