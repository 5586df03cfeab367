"""FBR on its hosts: which gradient goes where, batches that lack something, and options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tag2mask.errors import InputError
from tag2mask.experiment import needed_cues
from tag2mask.methods import METHODS
from tag2mask.methods.amn import AMNOptions
from tag2mask.methods.fbr import FBR, FBROptions
from tag2mask.methods.fbr.method import HOSTS
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.host import View
from tag2mask.nn.padding import PAD_COLOUR
from tag2mask.train.checkpoint import load_checkpoint, save_checkpoint
from tag2mask.types import Cue, TagBatch

OPTIONS = FBROptions(
    capacity=60, segmentation=0.1, background=0.1, sure=0.6, clear=0.1
)  # every term
WEIGHTS = ("against_background", "among_classes", "segmentation", "similarity")
CLASSES = 3


def fbr(options: FBROptions = OPTIONS, seed: int = 0) -> FBR:
    torch.manual_seed(seed)
    return FBR(options, Backbone(BackboneOptions("test_efficientnet", "none")), CLASSES).train()


def batch(tags: list[list[int]] | None = None, seed: int = 0) -> TagBatch:
    torch.manual_seed(seed)
    given = torch.tensor(tags or [[1, 0, 1], [0, 1, 0]], dtype=torch.bool)
    images = torch.rand(len(given), 3, 96, 128) * 255
    seeds = torch.arange(CLASSES + 1).repeat_interleave(32).expand(len(given), 96, 128)
    cues = {Cue.SEEDS: seeds, Cue.SALIENCY: (seeds > 0).float()}
    return TagBatch(tuple("ab"[: len(given)]), images, given, cues)


def view(method: FBR, given: TagBatch, maps: Tensor | None = None) -> View:
    """Features that take a gradient, and maps whose left half shows every tagged class."""
    shape = (len(given.tags), method.heads.foreground.in_channels, 6, 8)
    features = torch.randn(shape).relu().requires_grad_()
    if maps is None:
        maps = torch.rand(len(given.tags), CLASSES, 6, 8)
        maps = 0.2 + 0.8 * maps
        maps[..., 4:] = 0
    return View(features, maps, maps * given.tags[:, :, None, None])


def graded(thing: nn.Module | Tensor) -> bool:
    tensors = [thing] if isinstance(thing, Tensor) else list(thing.parameters())
    return any(t.grad is not None and bool(t.grad.any()) for t in tensors)


def test_it_is_in_the_table() -> None:
    assert METHODS["fbr"] is FBR
    assert FBR.Options is FBROptions


@pytest.mark.parametrize(
    ("term", "moved"),
    [
        ("against background", {"foreground"}),
        ("among classes", {"foreground"}),
        ("segmentation", {"background", "segmenter"}),
        ("similarity", {"foreground", "background"}),
    ],
)
def test_each_term_moves_its_heads_and_the_features_and_nothing_else(
    term: str, moved: set[str]
) -> None:
    method, given = fbr(), batch()
    seen = view(method, given)
    method.terms(seen, given)[term].backward()
    heads = {name for name, head in method.heads.named_children() if graded(head)}
    assert heads == moved
    assert graded(seen.features)
    assert not graded(method.host)


def test_contrasts_move_the_features_of_the_queries_alone() -> None:
    method, given = fbr(), batch()
    for term in ("against background", "among classes"):
        seen = view(method, given)
        method.terms(seen, given)[term].backward()
        assert seen.features.grad is not None
        touched = seen.features.grad.any(dim=1)
        assert 0 < int(touched.sum()) < touched.numel() / 2
        assert not bool(touched[..., 4:].any())  # background


def test_the_terms_train_what_the_host_trains() -> None:
    """Through the features: a step of them alone changes what the classifier reads."""
    method, given = fbr(replace(OPTIONS, segmentation=0.0, similarity=0.0)), batch()
    method.losses(given, 0.0)["against background"].backward()
    assert graded(method.host.backbone)
    assert not graded(method.host.classifier)


def test_the_first_batch_has_negatives_of_its_own() -> None:
    method, given = fbr(), batch()
    method.terms(view(method, given), given)
    assert int(method.bank.count) == 2 * 8


def cut_at_zero(given: TagBatch, method: FBR) -> View:
    return view(method, given, torch.zeros(len(given.tags), CLASSES, 6, 8))


def everywhere(given: TagBatch, method: FBR) -> View:
    return view(method, given, 0.5 + torch.rand(len(given.tags), CLASSES, 6, 8) / 2)


def halves(given: TagBatch, method: FBR) -> View:
    return view(method, given)


LACKS: dict[str, tuple[list[list[int]], Callable[[TagBatch, FBR], View], set[str]]] = {
    "background, and the bank is empty": (
        [[1, 0, 1], [0, 1, 0]],
        everywhere,
        {"against background"},
    ),
    "a second class": ([[1, 0, 0], [1, 0, 0]], halves, {"among classes"}),
    "foreground": ([[1, 0, 1], [0, 1, 0]], cut_at_zero, {"against background", "among classes"}),
    "tags": ([[0, 0, 0], [0, 0, 0]], halves, {"against background", "among classes"}),
}


@pytest.mark.parametrize("lack", LACKS)
def test_a_batch_that_lacks_something_has_terms_of_zero_and_every_gradient(lack: str) -> None:
    tags, make, zero = LACKS[lack]
    method, given = fbr(), batch(tags)
    terms = method.terms(make(given, method), given)
    assert {name for name, value in terms.items() if float(value.detach()) == 0} == zero
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all())
               for p in method.heads.parameters())  # fmt: skip


def test_padding_is_no_kind_of_background() -> None:
    method, given = fbr(), batch()
    images = given.images.clone()
    images[:, :, :, 72:] = torch.tensor(PAD_COLOUR).float().view(1, 3, 1, 1)
    padded = TagBatch(given.ids, images, given.tags)
    seen = view(method, given)
    with torch.no_grad():
        marked = seen.features.clone()
    marked[..., 5:] = 1e4  # the cells of padding, were they read
    method.terms(View(marked.requires_grad_(), seen.responses, seen.maps), padded)
    assert int(method.bank.count) == 2 * 6  # one column of background
    assert float(method.bank.vectors.max()) < 1e3


@pytest.mark.parametrize("host", HOSTS)
def test_its_terms_join_the_hosts(host: str) -> None:
    method, given = fbr(replace(OPTIONS, host=host)), batch()  # type: ignore[arg-type]
    own = set(method.host.look(given, 0.5)[0]) - {"intra view"}
    terms = method.losses(given, 0.5)
    assert set(terms) == own | {name.replace("_", " ") for name in WEIGHTS}
    with torch.no_grad():
        maps = method.eval().localize(given.images, given.tags)
        assert torch.equal(maps, method.host.evidence(given.images, given.tags))


def test_what_it_needs_is_what_the_host_needs() -> None:
    assert needed_cues(replace(OPTIONS, host="amn")) == {Cue.SEEDS}
    assert needed_cues(OPTIONS) == frozenset()
    for host in ("eps", "ppc-eps"):
        assert needed_cues(replace(OPTIONS, host=host)) == {Cue.SALIENCY}  # type: ignore[arg-type]
    assert replace(OPTIONS, host="amn").seeds == AMNOptions().seeds


def test_terms_are_the_mean_over_the_views(monkeypatch: pytest.MonkeyPatch) -> None:
    method, given = fbr(replace(OPTIONS, host="seam")), batch()
    values = iter([1.0, 3.0])
    monkeypatch.setattr(method, "terms", lambda *_: {"similarity": torch.tensor(next(values))})
    assert float(method.losses(given, 0.5)["similarity"]) == 2.0


def test_without_the_contrast_among_classes_ppc_keeps_its_own() -> None:
    method = fbr(replace(OPTIONS, host="ppc", among_classes=0.0))
    assert "intra view" in method.losses(batch(), 0.5)


def test_the_tag_loss_pools_by_the_threshold() -> None:
    method = fbr(replace(OPTIONS, threshold=0.25))
    assert method.host.threshold == 0.25


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_weight_of_zero_leaves_the_term_out_and_trains_nothing_for_it(weight: str) -> None:
    method = fbr(replace(OPTIONS, **{weight: 0.0}))  # type: ignore[arg-type]
    terms = method.losses(batch(), 0.5)
    assert weight.replace("_", " ") not in terms
    torch.stack(list(terms.values())).sum().backward()
    left = [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert left == []


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_term_alone_trains_all_that_is_trainable(weight: str) -> None:
    """Several processes wait for the gradient of every parameter."""
    alone = {name: 0.1 if name == weight else 0.0 for name in WEIGHTS}
    method = fbr(replace(OPTIONS, **alone))  # type: ignore[arg-type]
    torch.stack(list(method.losses(batch(), 0.5).values())).sum().backward()
    assert [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("weight", WEIGHTS)
def test_weights_weigh(weight: str) -> None:
    values = []
    for factor in (1, 3):
        method = fbr(replace(OPTIONS, **{weight: 0.1 * factor}))  # type: ignore[arg-type]
        values.append(float(method.losses(batch(), 0.5)[weight.replace("_", " ")].detach()))
    assert values[1] == pytest.approx(3 * values[0], rel=1e-5)


def test_a_loaded_state_gives_the_same_losses_as_going_on(tmp_path: Path) -> None:
    """The bank stands where it stood: what is drawn after a resume is what was drawn before."""
    going, resumed = fbr(), fbr(seed=1)
    path = tmp_path / "checkpoint.safetensors"

    def step(method: FBR, optimizers: Any, number: int) -> list[float]:
        torch.manual_seed(number)
        terms = method.losses(batch(seed=number), 0.5)
        torch.stack(list(terms.values())).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return [float(value.detach()) for value in terms.values()]

    optimizers = list(going.optimizers())
    for number in range(5):  # more than the bank holds
        step(going, optimizers, number)
    save_checkpoint(path, 5, going, optimizers)
    others = list(resumed.optimizers())
    assert load_checkpoint(path, resumed, others) == 5
    for number in range(5, 8):
        assert step(resumed, others, number) == step(going, optimizers, number)
    assert int(going.bank.count) == 60


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"against_background": -0.1}, r"--fbr.against-background -0.1 came"),
        (dict.fromkeys(WEIGHTS, 0.0), "use --method cam"),
        ({"background": 1.5}, "--fbr.background 1.5 came; expected a share"),
        ({"sure": -1.0}, "--fbr.sure"),
        ({"clear": 2.0}, "--fbr.clear"),
        ({"threshold": 3.0}, "--fbr.threshold"),
        ({"clusters": 0}, "--fbr.clusters 0"),
        ({"capacity": 0}, "--fbr.capacity 0"),
        ({"temperature": 0.0}, "--fbr.temperature 0.0"),
    ],
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FBROptions(**wrong)
