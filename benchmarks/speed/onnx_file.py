"""The exported network against torch: labels of a run's held-out photographs, and time.

    tag2mask export RUN --onnx
    OMP_NUM_THREADS=1 python benchmarks/speed/onnx_file.py RUN --count 100

Three comparisons of labels: the file with the same graph in torch, on the same bytes; what
examples/run_onnx.py writes with the masks in RUN/predictions; the time of one call, one photograph.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image
from side_by_side import compare, machine, table, versions

from tag2mask.data import read_image
from tag2mask.export.graph import Graph
from tag2mask.method import SingleStage
from tag2mask.predicting import finished_run
from tag2mask.stages import load_network
from tag2mask.storage import read_json, read_labels
from tag2mask.takeaway import stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=100)
    words = parser.parse_args()
    torch.set_num_threads(1)
    run, experiment = finished_run(words.run)
    network = load_network(experiment, run, len(read_json(run.folder / "classes.json")))
    logits = network.segment if isinstance(network, SingleStage) else network
    graph = Graph(network, logits)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(run.folder / "export" / "network.onnx", options)

    def by_file(images: np.ndarray) -> np.ndarray:
        labels: np.ndarray = session.run(["labels"], {"images": images})[0]
        return labels

    def by_torch(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return graph(torch.from_numpy(images))[0].numpy()

    same = pixels = like_predictions = large = 0
    photos = stored(run.folder, "test").photos[: words.count]
    for photo in photos:
        picture = Image.fromarray(read_image(photo.path).permute(1, 2, 0).numpy())
        share = experiment.size / max(picture.size)
        small = picture.resize([max(1, round(side * share)) for side in picture.size], 2)
        images = np.asarray(small).transpose(2, 0, 1)[None].copy()
        labels = by_file(images)
        same += int((labels == by_torch(images)).sum())
        pixels += labels.size
        mask = np.asarray(Image.fromarray(labels[0]).resize(picture.size, 0))
        predicted = read_labels(run.folder / "predictions" / f"{photo.id}.png").numpy()
        like_predictions += int((mask == predicted).sum())
        large += mask.size
    print(machine(), versions("onnxruntime"), sep="\n")
    print(f"{len(photos)} photographs; file and torch: {same / pixels:.6f} of the pixels alike")
    print(f"example and predictions: {like_predictions / large:.4f} alike")
    rows = []
    for shape in (images.shape, (8, *images.shape[1:])):
        batch = np.broadcast_to(images, shape).copy()
        ours, peer = partial(by_file, batch), partial(by_torch, batch)
        alike = float((ours() == peer()).mean())
        name = f"labels of {shape[0]} × {shape[2]} × {shape[3]}"
        rows.append(compare(name, ours, peer, agreement=alike, repetitions=15))
    print(table(rows))


if __name__ == "__main__":
    main()
