"""FBR on VOC, on COCO, and on a few hundred photographs; each term left out, and each host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recipes.settings import COCO_IMAGES, Wide, as_irn, as_seam, coco, small, voc
from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment, MethodOptions
from tag2mask.methods.amn import AMNOptions
from tag2mask.methods.cam import CAMOptions
from tag2mask.methods.drs import DRSOptions
from tag2mask.methods.eps import EPSOptions
from tag2mask.methods.fbr import FBROptions
from tag2mask.methods.ppc import PPCOptions
from tag2mask.methods.seam import SEAMOptions
from tag2mask.train import TrainOptions

RATES: Final[dict[str, Any]] = {"rate": 1e-4, "head": 100.0}  # of a backbone that learns, measured
VOC_STEPS = 20_000  # 10,000 rounds of two steps, official code
PAPER = FBROptions(
    host="ppc",
    threshold=0.1,
    against_background=0.01,
    segmentation=0.1,
    background=0.1,
    sure=0.6,
    clear=0.1,
    rate=1e-4,
)


def fbr_voc(
    root: Path,
    saliency: Path | None = None,
    weights: str = "hub",
    seed: int = 0,
    backbone: Wide = "resnet50",
) -> Experiment:
    """VOC 2012 on PPC, crop 448 of long sides 448 to 768, batch 8 (official code); not run here.

    Args:
        root: as `voc` takes it.
        saliency: folder of grey PNG files, or a model; the paper's setting on PPC has it (PFAN's
            maps), and the host is PPC in front of EPS then.
        backbone: the paper's is wide_resnet38, whose weights are a file.
    """
    return as_seam(voc(root, saliency), PAPER, VOC_STEPS, weights, seed, backbone)


def fbr_coco(
    root: Path,
    saliency: Path | None = None,
    weights: str = "hub",
    seed: int = 0,
    backbone: Wide = "resnet50",
) -> Experiment:
    """COCO 2014 as `fbr_voc`, 15 epochs; the paper's settings are not known, and not run here.

    Args:
        root: as `coco` takes it.
        saliency: as `fbr_voc`.
        backbone: as `fbr_voc`.
    """
    return as_seam(coco(root, saliency), PAPER, 15 * COCO_IMAGES // 8, weights, seed, backbone)


def fbr_voc_amn(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012 on AMN, ResNet-50 at stride 16, crop 512, 5 epochs of 16 (official code); not run.

    Args:
        root: as `voc` takes it.
    """
    return _paper_amn(voc(root), weights, seed)


def fbr_coco_amn(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `fbr_voc_amn`; the paper's settings are not known, and not run here.

    Args:
        root: as `coco` takes it.
    """
    return _paper_amn(coco(root), weights, seed)


def fbr_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU; the embedded backbone learns (docs/results.md)."""
    return _learning(small(photos, tags, FBROptions(), seed))


def fbr_ablation(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """The host, all of FBR, and FBR without each of its parts: all else as `fbr_small`."""
    whole = FBROptions()
    methods: dict[str, MethodOptions] = {
        "cam": CAMOptions(),
        "fbr": whole,
        "fbr, thresholded pooling": replace(whole, threshold=0.1),
        "fbr, no background contrast": replace(whole, against_background=0.0),
        "fbr, no contrast among classes": replace(whole, among_classes=0.0),
        "fbr, segmentation": replace(whole, segmentation=0.1),
        "fbr, no similarity": replace(whole, similarity=0.0),
        "fbr, one cluster": replace(whole, clusters=1),
    }
    return _named(fbr_small(photos, tags, seed), methods)


def fbr_hosts(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """Every host alone and with FBR: all else as `fbr_small`."""
    methods: dict[str, MethodOptions] = {
        "cam": CAMOptions(),
        "cam+fbr": FBROptions(host="cam"),
        "drs": DRSOptions(),
        "drs+fbr": FBROptions(host="drs"),
        "seam": SEAMOptions(),
        "seam+fbr": FBROptions(host="seam"),
        "ppc": PPCOptions(),
        "ppc+fbr": FBROptions(host="ppc"),
        "amn": AMNOptions(),
        "amn+fbr": _on_amn(rate=AMNOptions().rate),
    }
    return _named(fbr_small(photos, tags, seed), methods)


def fbr_hosts_salient(photos: Path, tags: Path, saliency: Path, seed: int = 0) -> list[Experiment]:
    """The hosts that learn from saliency too, alone and with FBR: all else as `fbr_small`.

    Args:
        saliency: folder of grey PNG files, or a model.
    """
    methods: dict[str, MethodOptions] = {
        "eps": EPSOptions(),
        "eps+fbr": FBROptions(host="eps"),
        "ppc+eps": EPSOptions(host="ppc"),
        "ppc+eps+fbr": FBROptions(host="ppc-eps"),
    }
    return _named(small(photos, tags, EPSOptions(), seed, saliency=saliency), methods)


def _named(base: Experiment, methods: dict[str, MethodOptions]) -> list[Experiment]:
    return [_learning(replace(base, method=m, name=name)) for name, m in methods.items()]


def _learning(e: Experiment) -> Experiment:
    """Stages after reduction 8 learn: where none does, the contrasts have nothing to move.

    At the rates that were measured, but for methods with rates of their own (AMN).
    """
    as_cam = e.method.rate == CAMOptions().rate
    return replace(
        e,
        method=replace(e.method, **RATES) if as_cam else e.method,
        backbone=replace(e.backbone, frozen=8),
        train=replace(e.train, batch=8),
        first=CAMOptions(**RATES),
    )


def _on_amn(rate: float) -> FBROptions:
    """The numbers of the official code's variant on AMN."""
    return FBROptions(host="amn", capacity=100_000, rate=rate)


def _paper_amn(data: DataOptions, weights: str, seed: int) -> Experiment:
    method = replace(_on_amn(rate=5e-6), head=20.0, decay=1e-4)
    train = TrainOptions(epochs=5, batch=16, zoom=(0.5, 1.5))
    return as_irn(data, method, train, weights, seed)
