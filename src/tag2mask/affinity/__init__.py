"""Affinities that are learned from what maps are sure of, for walks by them."""

from __future__ import annotations

from typing import Final

from tag2mask.affinity.instances import InstanceOptions as InstanceOptions
from tag2mask.affinity.instances import ObjectWalk as ObjectWalk
from tag2mask.affinity.instances import foreground_mean as foreground_mean
from tag2mask.affinity.instances import peaks as peaks
from tag2mask.affinity.irn import IRN as IRN
from tag2mask.affinity.irn import IRNOptions as IRNOptions
from tag2mask.affinity.network import AffinityNetwork as AffinityNetwork
from tag2mask.affinity.options import AffinityOptions as AffinityOptions
from tag2mask.affinity.psa import PSA as PSA
from tag2mask.affinity.psa import PSAOptions as PSAOptions
from tag2mask.affinity.walking import AffinityWalk as AffinityWalk

LEARNED: Final = {"psa": PSA, "irn": IRN}
