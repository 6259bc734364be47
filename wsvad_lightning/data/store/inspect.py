"""``wsvad data inspect``: whose features are these? What numbers say of a store, and what contradicts it.

Each test is on what a frozen network and a camera do to features, whatever the network is:

crop order   a crop and its mirror image give nearly the same vector, and crops that overlap similar ones: the
             pairs among ten crops, and the likeness of five, follow from where the crops lie
layout       a snippet is more like its own other crops than like a later snippet; where rows and crops were
             exchanged, the last crop goes on in the first crop of the next snippet
lineage      a network has channels that are always strong and others that are always weak; videos whose
             channels are of two kinds, or whose lengths are, come from two extractions
stride       F frames and T snippets give the frames a snippet
backbone     channels, and whether a value may be negative, follow from the network

Labels, those of test videos aside, are used for two numbers only: how well lengths and a linear probe rank
videos.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wsvad_lightning.data.store.reader import FeatureStore
from wsvad_lightning.data.store.records import Provenance, in_words
from wsvad_lightning.errors import WSVADError, counted, few
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import UNKNOWN

Values = NDArray[np.float64]

PATCH = re.compile(r"r\d+c\d+")  # name of a cell of a grid; the module that names them needs PyTorch
VIDEOS, SNIPPETS = 200, 64  # that are read at most, evenly over the store and from the middle of a video
FEWEST = 4  # videos that can be compared
FOLDS, RIDGE = 5, 1.0  # of the linear probe


class Kind(NamedTuple):
    """What is known of a network from its architecture.

    Attributes:
        dims: channels that it may have.
        signed: whether values may be negative; a mean after ReLU may not.
    """

    dims: tuple[int, ...]
    signed: bool


KINDS = {
    "i3d_resnet50": Kind((2048,), signed=False),
    "i3d_inception": Kind((1024,), signed=False),
    "efficientnet_lite0": Kind((1280,), signed=False),
    "clip": Kind((512, 768, 1024), signed=True),
    "dinov2": Kind((384, 768, 1024, 1536), signed=True),
    "videomae": Kind((384, 768, 1024, 1280, 1408), signed=True),
}

# Upper left corners of five crops of 224 in a frame of 340 x 256, and of their mirror images in that frame.
FIVE = ((0, 0), (116, 0), (58, 16), (0, 32), (116, 32))
SIDE = 224
PARTNERS = (6, 5, 7, 9, 8)  # of ten crops in the published order: the mirrored crop of each of the first five
PAIRED = 0.1  # by how much mirror images are more alike than the next best
FITS, BETTER = (
    0.7,
    0.25,
)  # correlation of likeness and overlap: of an order that is right, and ahead of another
CONTINUES = 0.05  # likeness of the last crop and the next snippet's first, above that of both in one snippet
SPREAD = 0.2  # of the strengths of channels, from which on networks differ in them
OWN, OTHER = 0.6, 0.4  # correlation of the channels of videos of one network, and of two
TWICE = np.log(2.25)  # of mean squares: a factor of 1.5 in length
UNIT = 1e-3  # around a length of 1
OUTSIDE = 0.05  # part of the videos whose frames may not fit


class Finding(NamedTuple):
    """Something that contradicts what the store says.

    Attributes:
        kind: ``crop order``, ``layout``, ``copies``, ``lineage``, ``scale``, ``stride`` or ``backbone``.
        problem: what was found.
    """

    kind: str
    problem: str


class Sample(NamedTuple):
    """What is read of a video.

    Attributes:
        features: ``[T', N, D]`` consecutive snippets.
        num_snippets: T.
        num_frames: F.
        label: 0 normal, 1 abnormal, -1 unknown or of a test video.
    """

    features: Values
    num_snippets: int
    num_frames: int
    label: int


def inspect(store: str, stream: str | None = None) -> int:
    """Say whose features a store may hold, and what contradicts what it says of them.

    Args:
        store: path of a store, or a glob pattern that names several.
        stream: whose features, by default `features`, or of each stream of a store without it.

    Returns:
        0 if nothing contradicts the store, 1 otherwise.

    Raises:
        WSVADError: if it cannot be opened, lacks the stream, or has too few videos.
    """
    opened = FeatureStore(store)
    if stream is not None and stream not in opened.streams:
        remedy = f"Give one of {', '.join(opened.streams)}"
        raise WSVADError("--stream", stream, f"is not a stream of {opened.path}", remedy)
    if len(opened) < FEWEST:
        raise WSVADError(
            "store", opened.path, f"has {counted(len(opened), 'video')}, too few to compare", "Give more"
        )
    chosen = stream or ("features" if "features" in opened.streams else None)
    found = [_inspect_stream(opened, name) for name in ([chosen] if chosen else opened.streams)]
    return int(any(found))


def _inspect_stream(store: FeatureStore, stream: str) -> list[Finding]:
    samples = dict(read_samples(store, stream))
    console = Console()
    console.print(_table(f"{store.path}, {stream}", describe(samples, store.provenance)))
    findings = list(find(samples, store.provenance, store.streams[stream].views))
    for finding in findings:
        console.print(f"{finding.kind}: {finding.problem}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(samples)} of {len(store)} videos read, {counted(len(findings), 'finding')}")
    return findings


def read_samples(store: FeatureStore, stream: str) -> Iterator[tuple[str, Sample]]:
    """Read some snippets of some videos."""
    names = sorted(store)
    for place in np.unique(np.linspace(0, len(names) - 1, min(VIDEOS, len(names))).astype(int)):
        record, features = store[names[place]], store.read(names[place], stream)
        start = max(0, (len(features) - SNIPPETS) // 2)
        part = np.asarray(features[start : start + SNIPPETS], dtype=np.float64)
        label = UNKNOWN if record.annotation.split == "test" else record.annotation.label
        yield names[place], Sample(part, record.num_snippets, record.num_frames, label)


def find(
    samples: Mapping[str, Sample], provenance: Provenance, views: Sequence[str] = ()
) -> Iterator[Finding]:
    """Find what contradicts the store.

    Args:
        samples: of its videos.
        provenance: what it says.
        views: names of the views; patches of a grid are not crops.
    """
    if not any(map(PATCH.fullmatch, views)):
        yield from find_crops([sample.features for sample in samples.values()])
    yield from find_lineages(samples)
    yield from find_stride(samples, provenance.grid)
    yield from find_backbone([sample.features for sample in samples.values()], provenance.backbone)


# ---------------------------------------------------------------------------------------------------- crops


def find_crops(videos: Sequence[Values]) -> Iterator[Finding]:
    """Compare crops with where the published order puts them; of other numbers of views nothing is known."""
    count = videos[0].shape[1]
    if count < 2:
        return
    if all((video == video[:, :1]).all() for video in videos):
        yield Finding("copies", f"the {count} crops of every snippet are the same: one crop, repeated")
        return
    if count not in (5, 10):
        return
    if (ahead := continuation(videos)) > CONTINUES:
        problem = f"the last crop of a snippet goes on in the first crop of the next (likeness {ahead:+.2f})"
        yield Finding("layout", f"{problem}: snippets and crops were exchanged in a reshape")
        return
    alike = crop_likeness(videos)
    if count == 10 and (found := mirror_pairs(alike)) != dict(enumerate(PARTNERS)):
        pairs = ", ".join(f"{a}-{b}" for a, b in found.items()) or "none"
        own = ", ".join(f"{a}-{b}" for a, b in enumerate(PARTNERS))
        problem = f"mirror images are {pairs}, in the published order of ten crops {own}"
        yield Finding("crop order", problem)
        return
    own_fit, best, order = geometry(alike[:5, :5])
    if best > FITS and best - own_fit > BETTER:
        spelt = " ".join(map(str, order))
        problem = f"likeness fits the order {spelt} ({best:.2f}), not 0 1 2 3 4 ({own_fit:.2f})"
        yield Finding("crop order", f"{problem}: top left, top right, centre, bottom left, bottom right")


def crop_likeness(videos: Sequence[Values]) -> Values:
    """Correlate the crops of a snippet, each without the mean of all: ``[N, N]``, the mean over snippets."""
    total, number = np.zeros((videos[0].shape[1],) * 2), 0
    for video in videos:
        unit = _unit(video - video.mean(axis=1, keepdims=True))
        total, number = total + np.einsum("tnd,tmd->nm", unit, unit), number + len(video)
    likeness: Values = total / max(1, number)
    return likeness


def mirror_pairs(alike: Values) -> dict[int, int]:
    """Find pairs of crops that are the nearest to each other, clearly: the second of each by the first."""
    others = np.where(np.eye(len(alike), dtype=bool), -np.inf, alike)
    nearest = others.argmax(axis=1)
    ranked = np.sort(others, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > PAIRED
    return {a: int(b) for a, b in enumerate(nearest) if a < b and nearest[b] == a and clear[a] and clear[b]}


def geometry(alike: Values) -> tuple[float, float, tuple[int, ...]]:
    """Correlate the likeness of five crops with their overlap: as they lie, and in the best order."""
    overlap = np.array([[_overlap(a, b) for b in FIVE] for a in FIVE])
    above = np.triu_indices(len(FIVE), 1)

    def fit(order: Sequence[int]) -> float:
        return correlation(alike[above], overlap[np.ix_(order, order)][above])

    orders = [*permutations(range(len(FIVE)))]
    fits = [fit(order) for order in orders]
    best = int(np.argmax(fits))
    return fits[0], fits[best], orders[best]


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> float:
    shared = float(np.prod([SIDE - abs(p - q) for p, q in zip(a, b, strict=True)]))
    return shared / (2 * SIDE * SIDE - shared)


def continuation(videos: Sequence[Values]) -> float:
    """How much more the last crop is like the first one of the next snippet than of its own."""
    differences = []
    for video in videos:
        unit = _unit(video - video.mean(axis=(0, 1)))
        last, first = unit[:-1, -1], unit[:, 0]
        differences.append((last * first[1:]).sum(-1) - (last * first[:-1]).sum(-1))
    joined = np.concatenate(differences)
    return float(joined.mean()) if len(joined) else 0.0


# ------------------------------------------------------------------------------------------------- lineages


def find_lineages(samples: Mapping[str, Sample]) -> Iterator[Finding]:
    """Find videos whose channels or lengths are of two kinds."""
    names = [*samples]
    squares = np.array([np.square(sample.features).mean(axis=(0, 1)) for sample in samples.values()])
    with np.errstate(divide="ignore"):
        levels = np.log(squares.mean(axis=1))
    if not np.isfinite(levels).all():
        zero = [name for name, level in zip(names, levels, strict=True) if not np.isfinite(level)]
        yield Finding(
            "lineage", f"{counted(len(zero), 'video holds', 'videos hold')} nothing but zeros: {few(zero)}"
        )
        return
    strengths = np.log(squares / squares.mean(axis=1, keepdims=True) + 1e-3)
    labels = np.array([sample.label for sample in samples.values()])
    if (apart := _two_networks(strengths)) is not None:
        yield Finding("lineage", f"channels are of two networks: {_describe(names, apart, labels)}")
    elif (apart := _two_lengths(levels)) is not None:
        factor = np.exp((levels[apart].mean() - levels[~apart].mean()) / 2)
        lengths = f"vectors are {factor:.2g} times as long as in the others"
        yield Finding("scale", f"{lengths}: {_describe(names, apart, labels)}")


def _two_networks(strengths: Values) -> NDArray[np.bool_] | None:
    """Part videos ``[V, D]`` at the largest gap of their first axis; None if all are of one network."""
    centred = strengths - strengths.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    apart = _at_gap(centred @ axis)
    parts = [strengths[apart], strengths[~apart]]
    means = [part.mean(axis=0) for part in parts]
    if min(mean.std() for mean in means) < SPREAD:
        return None
    larger = max(parts, key=len)
    own = [correlation(video, (larger.sum(axis=0) - video) / (len(larger) - 1)) for video in larger]
    alike = float(np.mean(own)) > OWN and correlation(*means) < OTHER
    return apart if alike else None


def _two_lengths(levels: Values) -> NDArray[np.bool_] | None:
    """Part log mean squares ``[V]`` at their largest gap; None where it is not a gap between two kinds."""
    apart = _at_gap(levels)
    lower, upper = sorted((levels[apart], levels[~apart]), key=lambda part: float(part.mean()))
    gap = upper.min() - lower.max()
    widest = max(np.ptp(lower), np.ptp(upper))
    return apart if gap > max(TWICE, widest) else None


def _at_gap(values: Values) -> NDArray[np.bool_]:
    """Mark the smaller of the two parts that the largest gap leaves."""
    ranked = np.sort(values)
    place = int(np.diff(ranked).argmax())
    above = values >= ranked[place + 1]
    above[values.argmin()] = False  # also where all are equal
    smaller: NDArray[np.bool_] = above if above.sum() <= len(values) / 2 else ~above
    return smaller


def _describe(names: Sequence[str], apart: NDArray[np.bool_], labels: NDArray[np.int_]) -> str:
    chosen = [name for name, own in zip(names, apart, strict=True) if own]
    by_label = {0, 1} == {*labels.tolist()} and len({*labels[apart]}) == len({*labels[~apart]}) == 1
    leak = ", which are all that have one label: a detector would learn the extraction" if by_label else ""
    return f"{len(chosen)} of {len(names)} videos ({few(chosen)}){leak}"


# ------------------------------------------------------------------------------------- stride and backbone


def find_stride(samples: Mapping[str, Sample], grid: SnippetGrid) -> Iterator[Finding]:
    """Compare frames and snippets; frame counts that follow from the snippets say nothing."""
    snippets = np.array([sample.num_snippets for sample in samples.values()])
    frames = np.array([sample.num_frames for sample in samples.values()])
    outside = [
        name
        for name, sample in samples.items()
        if not grid.bounds(sample.num_frames)[0] <= sample.num_snippets <= grid.bounds(sample.num_frames)[1]
    ]
    if len(outside) <= OUTSIDE * len(samples):
        return
    if len({*snippets.tolist()}) == 1 and np.ptp(frames) > grid.stride:
        same = counted(snippets[0], "snippet")
        problem = f"all videos have {same}, whatever their frames: bags, pooled to segments"
        yield Finding("stride", problem)
        return
    chosen = [sample for name, sample in samples.items() if name in {*outside}]
    rate = float(np.median([sample.num_frames / sample.num_snippets for sample in chosen]))
    said = f"{len(outside)} of {len(samples)} videos ({few(outside)}) have about {rate:.3g} frames a snippet"
    yield Finding("stride", f"{said}, the store says {grid.stride}")


def find_backbone(videos: Sequence[Values], backbone: str) -> Iterator[Finding]:
    """Compare channels and signs with what the backbone gives; of others nothing is known."""
    dim, lengths = videos[0].shape[-1], np.concatenate([_lengths(video).ravel() for video in videos])
    name = next((known for known in KINDS if backbone.startswith(known)), None)
    if name is None:
        return
    signed, kind = any((video < 0).any() for video in videos), KINDS[name]
    if dim not in kind.dims:
        may_be = " or ".join(map(str, kind.dims))
        yield Finding("backbone", f"{backbone} gives {may_be} channels, the store has {dim}")
    elif signed and not kind.signed:
        yield Finding("backbone", f"{backbone} gives no negative values, as it averages after a ReLU")
    elif kind.signed and not signed:
        yield Finding("backbone", f"{backbone} gives negative values too, the store has none")
    elif np.abs(lengths - 1).max() < UNIT:
        yield Finding("backbone", f"all vectors have length 1: they are normalised, as {backbone} does not")


# -------------------------------------------------------------------------------------------------- numbers


def describe(samples: Mapping[str, Sample], provenance: Provenance) -> dict[str, str]:
    """Give what is measured, by name."""
    videos = [sample.features for sample in samples.values()]
    lengths = np.array([_lengths(video).mean() for video in videos])
    means = np.array([video.mean(axis=(0, 1)) for video in videos])
    labels = np.array([sample.label for sample in samples.values()])
    known = labels >= 0
    signed = any((video < 0).any() for video in videos)
    dim, crops = videos[0].shape[-1], videos[0].shape[1]
    could = [name for name, kind in KINDS.items() if dim in kind.dims and signed == kind.signed]
    known_as = ", ".join(could) or "none known"
    rate = np.median([sample.num_frames / sample.num_snippets for sample in samples.values()])
    low, middle, high = np.percentile(lengths, [5, 50, 95])
    return {
        "backbone": f"{in_words(provenance.backbone)}; by channels and signs it could be {known_as}",
        "channels": f"{dim}, {'some' if signed else 'no'} values negative",
        "length of a vector, a video": f"median {middle:.4g}, 5 to 95 % {low:.4g} to {high:.4g}",
        "crops": f"{crops}, {100 * common_variance(videos):.0f} % of the variance in common",
        "frames a snippet": f"median {rate:.3g}, the store says {provenance.snippet_stride}",
        "AUC of lengths on labels": _percent(ranking(lengths[known], labels[known])),
        "AUC of a linear probe on labels": _percent(probe(means[known], labels[known])),
    }


def common_variance(videos: Sequence[Values]) -> float:
    """Part of the variance of all vectors that the crops of a snippet share."""
    total = np.concatenate([video.reshape(-1, video.shape[-1]) for video in videos]).var(axis=0).sum()
    within = np.concatenate([video.var(axis=1).sum(axis=-1) for video in videos]).mean()
    return float(1 - within / total) if total > 0 else 1.0


def probe(means: Values, labels: NDArray[np.int_]) -> float | None:
    """ROC-AUC of ridge regression on the mean vectors ``[V, D]`` of videos, five-fold; None for few."""
    counts = [int((labels == label).sum()) for label in (0, 1)]
    if min(counts) < FOLDS:
        return None
    order = np.argsort(labels, kind="stable")
    folds = np.empty(len(labels), dtype=int)
    folds[order] = np.arange(len(labels)) % FOLDS
    scores = np.empty(len(labels))
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        centre, scale = means[train].mean(axis=0), means[train].std(axis=0) + 1e-12
        known, asked = (means[train] - centre) / scale, (means[test] - centre) / scale
        likeness = known @ known.T + RIDGE * len(known) * np.eye(len(known))
        weights = np.linalg.solve(likeness, labels[train] - labels[train].mean())
        scores[test] = asked @ (known.T @ weights)
    return ranking(scores, labels)


def ranking(scores: Values, labels: NDArray[np.int_]) -> float | None:
    """ROC-AUC; equal scores count half; None without both labels."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    if not len(positive) or not len(negative):
        return None
    ahead = np.sign(positive[:, None] - negative[None])
    return float((1 + ahead.mean()) / 2)


def correlation(a: Values, b: Values) -> float:
    """Pearson's correlation; 0 where one is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale > 0 else 0.0


def _lengths(features: Values) -> Values:
    lengths: Values = np.linalg.norm(features, axis=-1)
    return lengths


def _unit(vectors: Values) -> Values:
    lengths = _lengths(vectors)[..., None]
    unit: Values = vectors / np.where(lengths > 0, lengths, 1)
    return unit


def _percent(value: float | None) -> str:
    return "too few labels" if value is None else f"{100 * value:.1f}"


def _table(path: str, described: Mapping[str, str]) -> Table:
    table = Table("measured", "", title=escape(path), title_justify="left")
    for name, value in described.items():
        table.add_row(name, escape(value))
    return table
