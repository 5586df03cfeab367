"""Dense CRF against pydensecrf2, as the field calls it, on photographs of 375 × 500 pixels.

    pip install -e ".[bench]"
    OMP_NUM_THREADS=1 python benchmarks/speed/crf.py [--repetitions 7] [--only TEXT]

A repetition works on four photographs of scikit-image. The maps are blobs on them, one class on two
of the photographs, two classes on the others, so two or three labels with the background. Both
sides start from the same arrays and end with labels; agreement is the fraction of equal ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import skimage.data
import torch
from pydensecrf.densecrf import DenseCRF2D
from pydensecrf.utils import unary_from_labels, unary_from_softmax
from side_by_side import REPETITIONS, Comparison, compare, machine, same_fraction, table, versions
from skimage.transform import resize

from tag2mask.refine import crf, native
from tag2mask.refine.presets import PRESETS
from tag2mask.refine.unary import unaries_from_alphas
from tag2mask.types import CamSet

SIZE = 375, 500
NAMES = "astronaut", "coffee", "chelsea", "rocket"
HIGH, LOW = 0.30, 0.05  # levels of IRN's seed labels
ALPHAS = 4.0, 24.0  # powers of PSA's background
ALL_LABELS = 21


@dataclass(frozen=True)
class Scene:
    """A photograph and its maps, as both sides want them."""

    image: np.ndarray  # uint8 H × W × 3
    maps: np.ndarray  # float32 classes × H × W, in [0, 1]

    @property
    def tensor(self) -> torch.Tensor:
        return torch.from_numpy(self.image).permute(2, 0, 1)

    @property
    def cams(self) -> CamSet:
        classes = torch.arange(1, len(self.maps) + 1)
        return CamSet("scene", classes, torch.from_numpy(self.maps), SIZE)

    def decided(self, level: float) -> np.ndarray:
        """The best class where it exceeds the level, background elsewhere."""
        return np.where(self.maps.max(0) > level, self.maps.argmax(0) + 1, 0).astype(np.uint8)


def scenes() -> list[Scene]:
    """Four photographs with blobs of evidence, one class or two."""
    made = []
    for number, name in enumerate(NAMES):
        photograph = resize(getattr(skimage.data, name)()[..., :3], SIZE, anti_aliasing=True)
        image = np.ascontiguousarray((photograph * 255).round().astype(np.uint8))
        y, x = np.mgrid[: SIZE[0], : SIZE[1]] / np.array(SIZE)[:, None, None]
        centres = [(0.5, 0.4), (0.4, 0.75)][: 1 + number % 2]
        blobs = [np.exp(-((y - v) ** 2 + (x - u) ** 2) / 0.04) for v, u in centres]
        made.append(Scene(image, np.stack(blobs).astype(np.float32)))
    return made


def peer_crf(image: np.ndarray, unary: np.ndarray, srgb: float, sxy: float) -> np.ndarray:
    """The call that IRN and PSA make; labels."""
    height, width = image.shape[:2]
    dense = DenseCRF2D(width, height, len(unary))
    dense.setUnaryEnergy(np.ascontiguousarray(unary))
    dense.addPairwiseGaussian(sxy=3, compat=3)
    dense.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=image, compat=10)
    return np.array(dense.inference(10)).reshape(-1, height, width).argmax(0)


def peer_labels(image: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """IRN's crf_inference_label."""
    unary = unary_from_labels(labels, count, gt_prob=0.7, zero_unsure=False)
    return peer_crf(image, unary, srgb=5, sxy=50)


def one_call(scene: Scene, backend: crf.Backend = "native") -> np.ndarray:
    decided = torch.from_numpy(scene.decided(HIGH))
    return crf.refine_labels(scene.tensor, decided, backend=backend).numpy()


def peer_one_call(scene: Scene) -> np.ndarray:
    return peer_labels(scene.image, scene.decided(HIGH), len(scene.maps) + 1)


def one_call_torch(scene: Scene) -> np.ndarray:
    return one_call(scene, "torch")


def seed_labels(scene: Scene) -> np.ndarray:
    return crf.irn_labels(scene.tensor, scene.cams, HIGH, LOW, backend="native").numpy()


def peer_seed_labels(scene: Scene) -> np.ndarray:
    sure, possible = (
        peer_labels(scene.image, scene.decided(level), len(scene.maps) + 1) for level in (HIGH, LOW)
    )
    return np.where(sure > 0, sure, np.where(possible > 0, 255, 0))


def two_alphas(scene: Scene) -> np.ndarray:
    maps = torch.from_numpy(scene.maps)
    unaries = unaries_from_alphas(maps, ALPHAS)
    found = crf.dense_crf(scene.tensor, unaries, PRESETS["psa"], backend="native")
    return found.max(1).indices.numpy()  # ten times as fast as argmax


def peer_two_alphas(scene: Scene) -> np.ndarray:
    found = []
    for alpha in ALPHAS:
        background = (1 - scene.maps.max(0, keepdims=True)) ** alpha
        unary = unary_from_softmax(np.concatenate((background, scene.maps)))
        found.append(peer_crf(scene.image, unary, srgb=13, sxy=80))
    return np.stack(found)


def many_labels(scene: Scene) -> np.ndarray:
    decided = torch.from_numpy(scene.decided(HIGH))
    return crf.refine_labels(scene.tensor, decided, ALL_LABELS, backend="native").numpy()


def peer_many_labels(scene: Scene) -> np.ndarray:
    return peer_labels(scene.image, scene.decided(HIGH), ALL_LABELS)


Solver = Callable[[Scene], np.ndarray]
ROWS: dict[str, tuple[Solver, Solver, float]] = {
    "one call, hard labels": (one_call, peer_one_call, 5),
    "foreground and background, one lattice": (seed_labels, peer_seed_labels, 8),
    "two alphas, soft, one lattice": (two_alphas, peer_two_alphas, 10),
    "21 labels, those present": (many_labels, peer_many_labels, 10),
    "one call, torch": (one_call_torch, peer_one_call, 1),
}


def row(name: str, photographs: list[Scene], repetitions: int) -> Comparison:
    """One line of the table: all photographs in each repetition."""
    ours, peer, mark = ROWS[name]
    agreement = np.mean([same_fraction(ours(scene), peer(scene)) for scene in photographs])
    return compare(
        name,
        lambda: [ours(scene) for scene in photographs],
        lambda: [peer(scene) for scene in photographs],
        agreement=float(agreement),
        mark=mark,
        repetitions=repetitions,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [name for name in ROWS if options.only in name]
    if not native.available():
        print(f"Without the compiled CRF: {native.reason()}", file=sys.stderr)
        names = [name for name in names if "torch" in name]
    photographs = scenes()
    engine = ", ".join(native.variants()[:1]) or "torch alone"
    print(f"{machine()}; {versions('pydensecrf2', 'scikit-image')}; engine: {engine}\n")
    print(table(row(name, photographs, options.repetitions) for name in names))


if __name__ == "__main__":
    main()
