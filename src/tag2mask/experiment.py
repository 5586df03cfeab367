"""Everything that decides a run, one frozen value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tag2mask.affinity import LEARNED, InstanceOptions, IRNOptions, PSAOptions
from tag2mask.data import DataOptions
from tag2mask.errors import InputError
from tag2mask.evaluate.quality import QualityOptions
from tag2mask.localize import LocalizeOptions
from tag2mask.masks import MaskOptions
from tag2mask.method import SingleStage
from tag2mask.methods import METHODS
from tag2mask.methods.amn import AMNOptions
from tag2mask.methods.cam import CAMOptions
from tag2mask.methods.drs import DRSOptions
from tag2mask.methods.eps import EPSOptions
from tag2mask.methods.fbr import SALIENT, FBROptions
from tag2mask.methods.ppc import PPCOptions
from tag2mask.methods.rec import RECOptions
from tag2mask.methods.rtc import RTCOptions
from tag2mask.methods.seam import SEAMOptions
from tag2mask.methods.ssc import SSCOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.refine import PRESETS, REFINERS, CRFOptions, PAROptions, VoteOptions
from tag2mask.segment import DetectorOptions, SegmentOptions
from tag2mask.train import TrainOptions
from tag2mask.types import Cue

# a union, one member a room
MethodOptions = (
    AMNOptions
    | CAMOptions
    | DRSOptions
    | EPSOptions
    | FBROptions
    | PPCOptions
    | RECOptions
    | RTCOptions
    | SEAMOptions
    | SSCOptions
)


@dataclass(frozen=True)
class Experiment:
    """A run: data, method, and the options of every stage."""

    data: DataOptions
    method: MethodOptions = field(default_factory=CAMOptions)
    first: CAMOptions = field(default_factory=CAMOptions)
    """The plain classifier that some methods (amn, fbr on amn, rec) begin with."""
    backbone: BackboneOptions = field(default_factory=BackboneOptions)
    size: int = 224
    """Pixels of the square trained on; predictions bring a photograph's long side to it."""
    train: TrainOptions = field(default_factory=TrainOptions)
    localize: LocalizeOptions = field(default_factory=LocalizeOptions)
    refine: str = "par"
    """How maps are made to follow the picture: par, crf, vote, psa or irn (both are trained first),
    several in turn (par,crf), none."""
    par: PAROptions = field(default_factory=PAROptions)
    crf: CRFOptions = field(default_factory=CRFOptions)
    vote: VoteOptions = field(default_factory=VoteOptions)
    psa: PSAOptions = field(default_factory=PSAOptions)
    irn: IRNOptions = field(default_factory=IRNOptions)
    affinity: TrainOptions = field(
        default_factory=lambda: TrainOptions(steps=100, batch=8, zoom=(0.625, 1.25))
    )
    """The training of psa and of irn."""
    masks: MaskOptions = field(default_factory=MaskOptions)
    instances: bool = False
    """Tell the objects of a class apart, by what irn has learned (--refine irn), and teach an
    instance network (Mask R-CNN) with them."""
    instance: InstanceOptions = field(default_factory=InstanceOptions)
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    instance_network: TrainOptions = field(
        default_factory=lambda: TrainOptions(epochs=20, batch=8, zoom=(0.75, 1.5))
    )
    """The training of the instance network."""
    teacher: Literal["maps", "truth"] = "maps"
    """Who teaches the network: the pseudo masks, or the true ones (an upper bound, flagged)."""
    segment: SegmentOptions = field(default_factory=SegmentOptions)
    second_network: Literal["masks", "segmented"] | None = None
    """Train the network beside a method that segments by itself, and predict with it: on the pseudo
    masks that its maps became, or on what its own branch makes of the photographs (RTC's two-stage
    option). Other methods always have the network."""
    network: TrainOptions = field(default_factory=lambda: TrainOptions(epochs=20, zoom=(0.75, 1.5)))
    quality: QualityOptions = field(default_factory=QualityOptions)
    seed: int = 0
    """Decides every random choice; the same seed gives the same bytes on a CPU."""
    accelerator: str = "auto"
    """cpu, cuda, mps or auto (Lightning Fabric)."""
    devices: int = 1
    """Processes that train together."""
    precision: str = "32-true"
    """32-true, bf16-mixed or 16-mixed (Lightning Fabric)."""
    name: str = ""
    """What reports call the run; its folder's name if empty."""
    tuned: str = ""
    """What these options were chosen by, if by a search; `tag2mask tune` writes it."""

    def __post_init__(self) -> None:
        if self.data.saliency is not None:
            object.__setattr__(self, "method", with_saliency(self.method))
        check(self)

    @property
    def refiners(self) -> tuple[str, ...]:
        """The refiners' names in order; ("none",) keeps the maps as they are."""
        return tuple(name.strip() for name in self.refine.split(","))


def check(experiment: Experiment) -> None:
    """Refuse values that no run can have.

    Raises:
        InputError: the message names the option.
    """
    e = experiment
    if e.size < 32:
        raise InputError(f"--size {e.size} is too small; expected at least 32 pixels.")
    if e.second_network and not segments(e.method):
        raise InputError(
            f"--second-network came, but the network is the first one of {method_name(e.method)}, "
            "and always trained; leave the option out."
        )
    if e.teacher == "maps" and uses_saliency(e) and e.data.saliency is None:
        host = f" on the host {e.method.host}" if isinstance(e.method, FBROptions) else ""
        raise InputError(
            f"The method {method_name(e.method)}{host} learns from saliency, and none was given; "
            "expected --saliency with a folder of grey PNG files, or with a model (.onnx, .pt)."
        )
    if e.instances and (e.teacher != "maps" or "irn" not in e.refiners):
        given = "--teacher truth" if e.teacher != "maps" else f"--refine {e.refine}"
        raise InputError(
            f"--instances came with {given}, but objects are told apart by what irn learns from "
            "maps; expected --refine irn, or several in turn with irn among them (irn,crf)."
        )
    if e.devices < 1:
        raise InputError(f"--devices {e.devices} came; expected 1 or more.")
    trainings = (
        ("train", e.train),
        ("affinity", e.affinity),
        ("network", e.network),
        ("instance-network", e.instance_network),
    )
    for name, options in trainings:
        counts = (options.steps, options.epochs, options.batch)
        if any(count is not None and count < 1 for count in counts):
            raise InputError(
                f"--{name}.steps, --{name}.epochs, --{name}.batch are counts; expected 1 or more."
            )
        if options.batch % e.devices:
            raise InputError(
                f"--{name}.batch {options.batch} cannot be shared by {e.devices} devices; "
                "expected a multiple."
            )
        if name == "network" and options.batch // e.devices < 2:
            raise InputError(
                f"--network.batch {options.batch} on {e.devices} devices is one photograph each; "
                "expected at least two, for the network normalises over them."
            )
        if not 0 < options.zoom[0] <= options.zoom[1]:
            raise InputError(f"--{name}.zoom {options.zoom} is no range; expected 0 < low ≤ high.")
    unknown = [name for name in e.refiners if name not in (*REFINERS, *LEARNED)]
    if unknown and e.refiners != ("none",):
        raise InputError(
            f"--refine {e.refine} came, but {unknown[0]!r} is no refiner; expected none, or some "
            f"of {', '.join((*REFINERS, *LEARNED))}, separated by commas."
        )
    twice = [name for name in LEARNED if e.refiners.count(name) > 1]
    if twice:
        raise InputError(
            f"--refine {e.refine} came, but {twice[0]} is trained once in a run; name it once."
        )
    if e.segment.crf not in ("none", *PRESETS):
        raise InputError(
            f"--segment.crf {e.segment.crf} came; expected none, or settings known by name: "
            f"{', '.join(PRESETS)}."
        )
    low, high = e.masks.background, e.masks.confident
    for name, level in (("background", low), ("confident", high)):
        if level is not None and not 0 <= level < 1:
            raise InputError(f"--masks.{name} {level} came; expected a level from 0 to below 1.")
    if low is not None and high is not None and high <= low:
        raise InputError(
            f"--masks.confident {high} is not above --masks.background {low}; give a higher level."
        )
    if not e.localize.scales or min(e.localize.scales) <= 0:
        raise InputError(f"--localize.scales {e.localize.scales} came; expected positive numbers.")


def method_name(options: MethodOptions) -> str:
    """The name under which a method stands in the table."""
    for name, method in METHODS.items():
        if type(options) is method.Options:
            return name
    raise InputError(f"No method takes {type(options).__name__}; known: {', '.join(METHODS)}.")


def segments(options: MethodOptions) -> bool:
    """Whether the method segments by itself."""
    return issubclass(METHODS[method_name(options)], SingleStage)


def trains_network(experiment: Experiment) -> bool:
    """Whether the run's segmentation is a network's, and not the method's own."""
    e = experiment
    return bool(e.second_network) or e.teacher == "truth" or not segments(e.method)


def needed_cues(options: MethodOptions) -> frozenset[Cue]:
    """What a method with these options asks for beside photograph and tags.

    Where that depends on their values (a host, say), the options have a property `needs`;
    elsewhere the method says it.
    """
    room = METHODS[method_name(options)]
    needs: frozenset[Cue] = getattr(options, "needs", room.needs)
    return needs


def uses_saliency(experiment: Experiment) -> bool:
    """Whether the method learns from saliency too (I+S, and not I)."""
    return Cue.SALIENCY in needed_cues(experiment.method)


def with_saliency(options: MethodOptions) -> MethodOptions:
    """The method as it learns from tags and saliency; FBR takes its host in front of EPS then.

    Raises:
        InputError: it does not.
    """
    if Cue.SALIENCY in needed_cues(options):
        return options
    host = SALIENT.get(options.host) if isinstance(options, FBROptions) else None
    if host is None or not isinstance(options, FBROptions):
        on = f" on the host {options.host}" if isinstance(options, FBROptions) else ""
        raise InputError(
            f"--saliency came, but the method {method_name(options)}{on} makes no use of it; take "
            "--method eps, or --method fbr on the host eps or ppc-eps, or leave --saliency out."
        )
    return dataclasses.replace(options, host=host)


def to_json(value: Any) -> Any:
    """Options as JSON: dataclasses as objects, paths as text, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


def from_json(stored: dict[str, Any]) -> Experiment:
    """An experiment from what `to_json` made of it; the method's name stands beside.

    Raises:
        InputError: an entry that no option has.
    """
    values = dict(stored)
    name = values.pop("method_name")
    if name not in METHODS:
        raise InputError(f"The run used method {name!r}; known here: {', '.join(METHODS)}.")
    kinds: dict[str, Any] = {
        "data": DataOptions,
        "method": METHODS[name].Options,
        "first": CAMOptions,
        "backbone": BackboneOptions,
        "train": TrainOptions,
        "localize": LocalizeOptions,
        "par": PAROptions,
        "crf": CRFOptions,
        "vote": VoteOptions,
        "psa": PSAOptions,
        "irn": IRNOptions,
        "affinity": TrainOptions,
        "masks": MaskOptions,
        "instance": InstanceOptions,
        "detector": DetectorOptions,
        "instance_network": TrainOptions,
        "segment": SegmentOptions,
        "network": TrainOptions,
        "quality": QualityOptions,
    }
    try:
        return Experiment(
            **{k: _build(kinds[k], v) if k in kinds else v for k, v in values.items()}
        )
    except (TypeError, KeyError) as error:
        raise InputError(f"experiment.json does not fit this version ({error}).") from None


PATHS: Final[dict[type, tuple[str, ...]]] = {
    DataOptions: ("photos", "tags", "classes", "truth", "saliency"),
    VoteOptions: ("regions",),
    SSCOptions: ("vgg",),
}


def _build(kind: Any, stored: dict[str, Any]) -> Any:
    paths = PATHS.get(kind, ())
    values: dict[str, Any] = {}
    for key, value in stored.items():
        if isinstance(value, list):
            values[key] = tuple(value)
        elif key in paths and value is not None:
            values[key] = Path(value)
        else:
            values[key] = value
    return kind(**values)
