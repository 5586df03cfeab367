"""The network of a run, without tag2mask: python run_onnx.py network.onnx photo.jpg mask.png."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

network = onnxruntime.InferenceSession(sys.argv[1])
about = network.get_modelmeta().custom_metadata_map
photo = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
share = int(about["long_side"]) / max(photo.size)  # the size that the network was trained at
small = photo.resize([max(1, round(side * share)) for side in photo.size], Image.BILINEAR)
labels = network.run(["labels"], {"images": np.asarray(small).transpose(2, 0, 1)[None]})[0][0]
mask = Image.fromarray(labels).resize(photo.size, Image.NEAREST)
mask.putpalette(np.array(json.loads(about["palette"]), dtype=np.uint8).tobytes())
mask.save(sys.argv[3])
print([json.loads(about["classes"])[label] for label in np.unique(labels)])
