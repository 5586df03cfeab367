"""Superpixels: ours against scikit-image's SLIC, in time and in boundaries found.

    OMP_NUM_THREADS=1 python benchmarks/speed/superpixels.py

Pictures of 375 × 500 pixels are composed, drawings on photographs, so that their outlines are known
to the pixel. About 200 superpixels are asked for; because scikit-image returns fewer than asked, it
is compared as it is called, and again asked for so many that it comes to our number. Boundary
recall is the share of the outlines' pixels with a boundary of superpixels at most 2 pixels away;
achievable accuracy is the share of pixels that are right if every superpixel takes its most
frequent label. Either is timed on the picture as it takes it, planes or interleaved.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from side_by_side import compare, machine, table, versions
from skimage.segmentation import slic as skimage_slic

from tag2mask.data.compose import ComposeOptions, compose
from tag2mask.nn.slic import COMPACTNESS, is_compiled, slic

HEIGHT, WIDTH = 375, 500
TOLERANCE = 2  # pixels
Regions = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Quality:
    """How well superpixels fit outlines, over all pictures."""

    recall: float
    accuracy: float
    count: float

    def __str__(self) -> str:
        return f"{self.recall:.4f} / {self.accuracy:.4f} / {self.count:.0f}"


def pictures(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Composed photographs and their masks."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "composed"
        compose(ComposeOptions(images=count, test_images=0, size=WIDTH, objects=(2, 4)), out)
        found = []
        for path in sorted((out / "images").glob("*.jpg")):
            mask = out / "masks" / f"{path.stem}.png"
            found.append((np.array(Image.open(path))[:HEIGHT], np.array(Image.open(mask))[:HEIGHT]))
    return found


def boundaries(labels: np.ndarray) -> np.ndarray:
    """Pixels whose neighbour to a side, above or below is another."""
    found = np.zeros(labels.shape, dtype=bool)
    right, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    found[:, 1:] |= right
    found[:, :-1] |= right
    found[1:] |= down
    found[:-1] |= down
    return found


def quality(group: Regions, examples: list[tuple[np.ndarray, np.ndarray]]) -> Quality:
    near = outline = right = pixels = count = 0
    window = np.ones((2 * TOLERANCE + 1,) * 2, dtype=bool)
    for pixel_colours, truth in examples:
        regions = group(pixel_colours)
        found = ndimage.binary_dilation(boundaries(regions), window)
        edges = boundaries(truth)
        near += int((edges & found).sum())
        outline += int(edges.sum())
        overlaps = np.zeros((int(regions.max()) + 1, 256), dtype=np.int64)
        np.add.at(overlaps, (regions.ravel(), truth.ravel()), 1)
        right += int(overlaps.max(axis=1).sum())
        pixels += truth.size
        count += len(np.unique(regions))
    return Quality(near / outline, right / pixels, count / len(examples))


def planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def theirs(pixels: np.ndarray, segments: int) -> np.ndarray:
    return np.asarray(
        skimage_slic(pixels, n_segments=segments, compactness=COMPACTNESS, start_label=0)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--segments", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine(), versions("scikit-image"), f"kernel compiled: {is_compiled()}", sep=", ")
    examples = pictures(options.pictures)
    segments = options.segments
    own = quality(lambda pixels: slic(planes(pixels), segments).numpy(), examples)
    as_called = quality(lambda pixels: theirs(pixels, segments), examples)
    matching = round(segments * own.count / as_called.count)
    timed = [pixels for pixels, _ in examples[:4]]
    in_planes = [planes(pixels) for pixels in timed]
    rows = []
    for asked in (segments, matching):
        peer = quality(lambda pixels, asked=asked: theirs(pixels, asked), examples)
        rows.append(
            compare(
                f"{len(timed)} pictures, scikit-image asked for {asked}",
                lambda: [slic(image, segments) for image in in_planes],
                lambda asked=asked: [theirs(pixels, asked) for pixels in timed],
                agreement=f"{own} against {peer}",
                mark=8,
                repetitions=options.repetitions,
            )
        )
    print(
        "Agreement: boundary recall / achievable accuracy / superpixels, ours against the peer's."
    )
    print(table(rows))


if __name__ == "__main__":
    main()
