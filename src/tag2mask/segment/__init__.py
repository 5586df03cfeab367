"""Stage 6: an ordinary segmentation network, taught by the pseudo masks."""

from __future__ import annotations

from tag2mask.segment.detector import Detector as Detector
from tag2mask.segment.detector import DetectorOptions as DetectorOptions
from tag2mask.segment.detector import detect as detect
from tag2mask.segment.network import PREDICTING as PREDICTING
from tag2mask.segment.network import Segmenter as Segmenter
from tag2mask.segment.network import SegmentOptions as SegmentOptions
from tag2mask.segment.predict import predict as predict
