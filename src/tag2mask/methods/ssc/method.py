"""Spatial structure constraints (SSC).

Maps that are made to cover more of an object leak into its surroundings. Two terms on the raw
responses of a host hold them to what the photograph shows: they must suffice to draw it again
(CDR), and must agree within its regions (ASM).

T. Chen, Y. Yao, X. Huang, Z. Li, L. Nie, J. Tang: Spatial Structure Constraints for Weakly
Supervised Semantic Segmentation, IEEE TIP 2024.

| paper | here | function |
|---|---|---|
| F | responses, (B, C, h, w) | `CAMHost.forward`, `DRSHost.forward` |
| L_cls | "tags" | `tag_loss` |
| L_p | "reconstruction" | `Decoder`, `Perceptual.forward` |
| L_a | "modulation" | `modulation_loss` |
| T = max(Ā, A ⊗ M) | target | `modulated` |
| L_cls + β_p L_p + β_a L_a | `reconstruction`, `modulation` weigh | `SSC.losses` |

Differs from the paper: the perceptual network is the pretrained backbone's first stages unless
VGG-19's weights are given; superpixels are made from the photographs; the decoder is a quarter as
wide unless told otherwise. Only the code gives thresholds, weights and warm-up.

Differs from the official code: what the decoder draws is brought to the range of the photograph
before the comparison (`span`), at half its side (`drawn`); the maximum that divides A passes no
gradient (`still`); padding is in no region and in no mean; the erosion's window grows
with the picture; the perceptual network is built once; AdamW replaces SGD for the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, final

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam, Optimizer

from tag2mask.errors import InputError
from tag2mask.method import OnHost
from tag2mask.methods.ssc.modulation import modulation_loss
from tag2mask.methods.ssc.perceptual import Perceptual, perceptual_network
from tag2mask.methods.ssc.reconstruction import Decoder
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.host import DELTA, CAMHost, DRSHost, stages, two_rates
from tag2mask.nn.superpixels import Kind, SuperpixelOptions
from tag2mask.types import Cue, Scalar, Size, TagBatch

BETAS: Final = (0.5, 0.999)  # of the decoder's Adam, official code
WHITE: Final = 255.0


@dataclass(frozen=True)
class SSCOptions:
    """The host, the two terms on it, and what the training may vary."""

    host: Literal["drs", "cam"] = "drs"
    """Whose responses are held to the photograph's structure (paper: drs)."""
    delta: float = DELTA
    """Share of a channel's maximum that nothing exceeds; the host drs alone (official code)."""
    always: bool = False
    """The host drs suppresses its early stage when maps are taken too (official code: in training
    alone)."""
    reconstruction: float = 0.02
    """Weight β_p of the reconstruction; 0 switches it off (official code: 1; measured on a few
    hundred photographs, docs/journal.md)."""
    modulation: float = 10.0
    """Weight β_a of the self-modulation; 0 switches it off (official code: 1; measured on a few
    hundred photographs, docs/journal.md)."""
    still: bool = True
    """The maximum that divides a map passes no gradient (official code: it does; measured,
    docs/journal.md)."""
    drawn: float = 0.5
    """Side of what is drawn again in units of the photograph's (official code: 1, four times as
    slow)."""
    width: int = 64
    """Channels of the decoder's first layers; the official code's 256 cost 16 times as much."""
    span: Literal["image", "normalised"] = "image"
    """What the decoder's −1 … 1 stands for: black to white, or one deviation around ImageNet's
    mean colour, of which many photographs are beyond (official code)."""
    vgg: Path | None = None
    """Weights of torchvision's VGG-19 for the comparison (paper); without, the backbone's own
    pretrained stages."""
    drawing: float = 5e-4
    """Learning rate of the decoder (official code)."""
    warmup: float = 0.5
    """Share of the training before the self-modulation joins (official code: 2 of 10 epochs; maps
    of a few hundred photographs ripen later, docs/journal.md)."""
    threshold: float = 0.3
    """Activation above which a pixel is reliable (official code)."""
    erosion: float = 0.03125
    """Window that erodes what is reliable, in units of the side (official code: 8 of 256)."""
    regions: Kind = "felzenszwalb"
    """How superpixels are made (paper: as ICD, felzenszwalb)."""
    count: int = 64
    """Superpixels of a photograph, at most (ICD)."""
    rate: float = 1e-3
    """Learning rate of the host's pretrained layers (as CAM)."""
    head: float = 10.0
    """New layers learn this many times faster (IRN, SEAM)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        if self.reconstruction < 0 or self.modulation < 0:
            raise InputError(
                f"--ssc.reconstruction {self.reconstruction} and --ssc.modulation "
                f"{self.modulation} came; expected weights of 0 or more."
            )
        if self.width < 1 or not 0 < self.delta <= 1 or not 0 < self.drawn <= 1:
            raise InputError(
                f"--ssc.width {self.width}, --ssc.delta {self.delta} and --ssc.drawn {self.drawn} "
                "came; expected 1 or more channels, and shares above 0, at most 1."
            )
        _ = self.superpixels

    @property
    def superpixels(self) -> SuperpixelOptions:
        """What the cue is made of."""
        return SuperpixelOptions(self.regions, self.count)


@final
class SSC(OnHost):
    """A host whose responses can draw the photograph and agree within its regions."""

    Options: ClassVar[type[SSCOptions]] = SSCOptions
    needs: ClassVar[frozenset[Cue]] = frozenset({Cue.SUPERPIXELS})

    def __init__(self, options: SSCOptions, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.options = options
        self.perceptual: Perceptual | None = None
        self.decoder: Decoder | None = None
        if options.reconstruction > 0:  # first: the host changes the backbone
            self.perceptual = perceptual_network(backbone, options.vgg)
        self.host: CAMHost = (
            DRSHost(backbone, classes, options.delta, options.always)
            if options.host == "drs"
            else CAMHost(backbone, classes)
        )
        if options.reconstruction > 0:
            cell = int(stages(backbone.network)[-1]["reduction"])
            self.decoder = Decoder(classes, max(2, round(cell * options.drawn)), options.width)

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Scalar]:
        """L_cls + β_p L_p, and after the warm-up + β_a L_a."""
        o = self.options
        terms, views = self.host.look(batch, progress)
        responses = views[0].responses
        if self.decoder is not None and self.perceptual is not None:
            wanted = smaller(batch.images, o.drawn)
            drawn = self.draw(responses, (wanted.shape[2], wanted.shape[3]))
            terms["reconstruction"] = o.reconstruction * self.perceptual(drawn, wanted)
        if o.modulation > 0 and progress >= o.warmup:
            superpixels = batch.cues[Cue.SUPERPIXELS]
            distance = modulation_loss(
                responses, batch.tags, superpixels, o.threshold, o.erosion, o.still
            )
            terms["modulation"] = o.modulation * distance
        return terms

    def draw(self, responses: Float[Tensor, "B C h w"], size: Size) -> Float[Tensor, "B 3 H W"]:
        """The photographs again, RGB on 0 … 255, from the responses, at (H, W)."""
        if self.decoder is None or self.perceptual is None:
            raise ValueError("Nothing draws where the reconstruction's weight is 0.")
        picture: Tensor = self.decoder(responses, size)
        if self.options.span == "normalised":
            return picture * self.perceptual.deviation + self.perceptual.mean
        return (picture + 1) * (WHITE / 2)

    def optimizers(self) -> Sequence[Optimizer]:
        """AdamW for the host, and the decoder's own Adam."""
        o = self.options
        host = two_rates(self.host, o.rate, o.head, o.decay)
        if self.decoder is None:
            return [host]
        return [host, Adam(self.decoder.parameters(), lr=o.drawing, betas=BETAS)]


def smaller(images: Float[Tensor, "B 3 H W"], share: float) -> Float[Tensor, "B 3 h w"]:
    """Photographs at a share of their sides, without aliasing; at 1 themselves."""
    if share == 1:
        return images
    size = [max(1, round(extent * share)) for extent in images.shape[2:]]
    return functional.interpolate(images, size, mode="bilinear", antialias=True)
