"""Class activation maps: all scales end to end, and two classes of one view.

    OMP_NUM_THREADS=1 python benchmarks/speed/cam.py
    OMP_NUM_THREADS=1 python benchmarks/speed/cam.py --backbone tf_efficientnet_lite0

Random weights. End to end, the peer does what the field's code does, one photograph at a time in
single precision: scales 1, 0.5, 1.5 and 2, each with its mirror image, every scale enlarged to the
grid of 4 pixels and to the photograph, both normalised and kept as .npy. It looks at the same sizes
(whole cells), so that labels can be compared. Two classes: pytorch-grad-cam (one backward pass a
class) and torchcam (CAM); maps divided by their maximum are compared on the grid of cells.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from side_by_side import REPETITIONS, compare, machine, table, versions
from torch import Tensor, nn
from torch.nn import functional
from torchcam import methods as peers

from tag2mask.localize import LocalizeOptions, folded, merge, responses
from tag2mask.masks import threshold
from tag2mask.methods.cam import CAM, CAMOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.views import resize, scaled_size
from tag2mask.storage import write_tensors

SIZE = 375, 500
SCALES = 1.0, 0.5, 1.5, 2.0
CLASSES = 20
ALL = torch.ones(1, CLASSES, dtype=torch.bool)
TAGGED = torch.tensor([3, 8])
LEVEL = 0.3


class Pooled(nn.Module):
    """The same weights as a classifier that peers can hook into."""

    def __init__(self, method: CAM) -> None:
        super().__init__()
        self.backbone = method.backbone
        self.fc = nn.Linear(*reversed(method.classifier.weight.shape[:2]), bias=False)
        self.fc.weight = nn.Parameter(method.classifier.weight.detach()[:, :, 0, 0])

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.backbone(images).mean(dim=(2, 3)))


def ours_whole(method: CAM, image: Tensor, folder: Path) -> Tensor:
    """Raw responses kept, labels from their merge."""
    with torch.inference_mode():
        options = LocalizeOptions(SCALES)
        found = responses(method, [image], ALL, 500, 16, options, torch.device("cpu"))
    kept = [maps[0, TAGGED - 1].half() for maps in found]
    tensors = {f"scale{n}": maps for n, maps in enumerate(kept)}
    write_tensors(folder / "p.safetensors", {**tensors, "classes": TAGGED})
    return threshold(merge("p", TAGGED, kept, SIZE), LEVEL).labels


def peer_whole(method: CAM, image: Tensor, folder: Path) -> Tensor:
    """One view pair at a time, everything enlarged."""
    strided, full = torch.zeros(2, 94, 125), torch.zeros(2, *SIZE)
    grids = []
    with torch.no_grad():
        for scale in SCALES:
            view = resize(image, scaled_size(SIZE, 500 * scale, 16)).float()
            plain, mirrored = method.localize(torch.stack([view, view.flip(-1)]), ALL.repeat(2, 1))
            maps = (plain + mirrored.flip(-1))[TAGGED - 1]
            for total in (strided, full):
                total += functional.interpolate(maps[None], total.shape[1:], mode="bilinear")[0]
            grids.append(maps)
    for total in (strided, full):
        total /= total.amax(dim=(1, 2), keepdim=True) + 1e-5
    np.save(folder / "p.npy", {"cam": strided.numpy(), "high_res": full.numpy()})
    return threshold(merge("p", TAGGED, grids, SIZE), LEVEL).labels


def scaled(maps: Tensor) -> Tensor:
    return maps / maps.amax(dim=(-2, -1), keepdim=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    options = parser.parse_args()
    torch.manual_seed(0)
    # all weights could learn, as in any classifier that a person would hand to the peers
    backbone = Backbone(BackboneOptions(name=options.backbone, weights="none", frozen=0))
    method = CAM(CAMOptions(), backbone, CLASSES).eval()
    pooled = Pooled(method).eval()
    short = folded(method, 64, CLASSES).to(memory_format=torch.channels_last)
    image = functional.interpolate(torch.rand(1, 3, 12, 16) * 255, SIZE, mode="bilinear")[0].byte()
    view = resize(image, scaled_size(SIZE, 500, 16)).float()[None]
    near = view.contiguous(memory_format=torch.channels_last)

    def ours() -> Tensor:
        with torch.inference_mode():
            return scaled(short.localize(near, ALL)[0, TAGGED - 1])

    layer = [pooled.backbone]
    gradient = GradCAM(pooled, layer)

    def grad_cam() -> Tensor:
        targets = [[ClassifierOutputTarget(int(c) - 1)] for c in TAGGED]
        return torch.from_numpy(np.stack([gradient(view, targets=t)[0] for t in targets]))

    def torch_cam() -> Tensor:
        with peers.CAM(pooled, pooled.backbone, fc_layer="fc") as activation, torch.no_grad():
            pooled(view)
            found = [activation(int(c) - 1, normalized=False)[0][0] for c in TAGGED]
        return scaled(torch.stack(found).relu())

    def agreement(found: Tensor, lowest: bool) -> str:
        def stretched(maps: Tensor) -> Tensor:
            return scaled(maps - maps.amin(dim=(-2, -1), keepdim=True)) if lowest else maps

        # pytorch-grad-cam stretches to 0 … 1 before and after it enlarges
        small = functional.interpolate(stretched(ours())[None], found.shape[1:], mode="bilinear")
        return f"largest difference {float((stretched(small[0]) - found).abs().max()):.1e}"

    repetitions = options.repetitions
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        same = ours_whole(short, image, folder) == peer_whole(method, image, folder)
        rows = [
            compare(
                f"4 scales and mirror images, {options.backbone}",
                lambda: ours_whole(short, image, folder),
                lambda: peer_whole(method, image, folder),
                agreement=float(same.float().mean()),
                mark=1.25,
                repetitions=repetitions,
            )
        ]
    for title, peer, mark in (("pytorch-grad-cam", grad_cam, 6), ("torchcam", torch_cam, 1)):
        rows.append(
            compare(
                f"two classes, {options.backbone}, {title}",
                ours,
                peer,
                agreement=agreement(peer(), title == "pytorch-grad-cam"),
                mark=mark,
                repetitions=repetitions,
            )
        )
    print(machine(), versions("timm", "grad-cam", "torchcam"), table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
