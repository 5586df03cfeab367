"""Stage 7: count and score."""

from __future__ import annotations

from tag2mask.evaluate.bootstrap import Interval as Interval
from tag2mask.evaluate.bootstrap import Resampled as Resampled
from tag2mask.evaluate.bootstrap import paired_bootstrap as paired_bootstrap
from tag2mask.evaluate.boundary import Boundary as Boundary
from tag2mask.evaluate.boundary import boundary as boundary
from tag2mask.evaluate.boxes import BoxCounts as BoxCounts
from tag2mask.evaluate.boxes import box_counts as box_counts
from tag2mask.evaluate.boxes import class_ranks as class_ranks
from tag2mask.evaluate.boxes import label_counts as label_counts
from tag2mask.evaluate.components import mask_boxes as mask_boxes
from tag2mask.evaluate.confusion import confusion as confusion
from tag2mask.evaluate.curve import Curve as Curve
from tag2mask.evaluate.instances import InstanceScores as InstanceScores
from tag2mask.evaluate.instances import component_instances as component_instances
from tag2mask.evaluate.powered import PoweredMean as PoweredMean
from tag2mask.evaluate.powered import powered_mean as powered_mean
from tag2mask.evaluate.scores import Scores as Scores
from tag2mask.evaluate.scores import scores as scores
from tag2mask.evaluate.sweep import sweep as sweep
from tag2mask.evaluate.tally import curve_counts as curve_counts
