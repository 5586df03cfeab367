"""Stage 4: let the maps follow the picture."""

from __future__ import annotations

from typing import Final

from tag2mask.nn.walk import walk as walk
from tag2mask.refine.contract import Refiner as Refiner
from tag2mask.refine.crf import CRF as CRF
from tag2mask.refine.crf import dense_crf as dense_crf
from tag2mask.refine.crf import irn_labels as irn_labels
from tag2mask.refine.crf import refine_labels as refine_labels
from tag2mask.refine.crf import refine_probabilities as refine_probabilities
from tag2mask.refine.par import PAR as PAR
from tag2mask.refine.par import PAROptions as PAROptions
from tag2mask.refine.presets import PRESETS as PRESETS
from tag2mask.refine.presets import CRFOptions as CRFOptions
from tag2mask.refine.proposals import MaskProposals as MaskProposals
from tag2mask.refine.proposals import RegionFolder as RegionFolder
from tag2mask.refine.vote import RegionVote as RegionVote
from tag2mask.refine.vote import VoteOptions as VoteOptions

REFINERS: Final = {"par": PAR, "crf": CRF, "vote": RegionVote}
