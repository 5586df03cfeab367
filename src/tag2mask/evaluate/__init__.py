"""Stage 7: count and score."""

from __future__ import annotations

from tag2mask.evaluate.bootstrap import Interval as Interval
from tag2mask.evaluate.bootstrap import paired_bootstrap as paired_bootstrap
from tag2mask.evaluate.boundary import Boundary as Boundary
from tag2mask.evaluate.boundary import boundary as boundary
from tag2mask.evaluate.confusion import confusion as confusion
from tag2mask.evaluate.curve import Curve as Curve
from tag2mask.evaluate.scores import Scores as Scores
from tag2mask.evaluate.scores import scores as scores
from tag2mask.evaluate.sweep import sweep as sweep
from tag2mask.evaluate.tally import curve_counts as curve_counts
