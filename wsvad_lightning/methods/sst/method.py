"""SST as a LightningModule."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TubeGrid
from wsvad_lightning.methods.base.dual_memory import (
    DUAL_MEMORY_WEIGHTS,
    DualMemoryOutput,
    dual_memory_losses,
)
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.sst.frames import (
    SnippetClips,
    middle_snippet,
    official_start,
    played_at,
    snippet_start,
)
from wsvad_lightning.methods.sst.networks import SSTNet
from wsvad_lightning.methods.sst.patches import MaskedTokens, Motion
from wsvad_lightning.ops import halves
from wsvad_lightning.start import take_part
from wsvad_lightning.types import WSVADBatch

Repair = Literal["frames", "keys", "motion", "order"]
Chosen = Literal["top", "second", "random"]
CLIPS = 16  # that patches are scored of at once


class SST(WSVADModule):
    """SST as a LightningModule; recipes in ``ucf_sst.yaml``, ``msad_sst.yaml`` and ``ped2_sst.yaml``.

    Args:
        feature_dim: D, channels of the snippet features; taken from the store on the command line.
        videos: folder of the videos that the store was extracted from; required to train, and to score
            patches.
        temporal_from: checkpoint of UR-DMU that the temporal network starts from; None for a new one.
        hidden_dim: channels of both dual memory networks.
        abnormal_slots: size of their abnormal memories.
        normal_slots: size of their normal memories.
        dropout: probability inside both, and where patches attend to snippets.
        frames: of the clip that is read of a snippet, a multiple of ``tube``.
        size: height and width that frames are resized to, multiples of ``patch``.
        tube: frames of a tubelet.
        patch: side of a patch in pixels.
        dim: channels of DTFE, a multiple of ``heads`` and, for pruning, of 3.
        depth: its blocks.
        heads: of their attention.
        token_ratio: parts of all tokens that are left, one after the other, at even distances in depth; None
            for no pruning.
        cross_attention: whether patches attend to snippets (PSA).
        choose: which snippet of a video is looked at: the ``top`` or the ``second`` one by the memory of its
            class, or one of the top T // 16 + 1 at ``random``, of the same rank in all videos of the batch.
        num_chosen: with ``top``, how many of the top snippets are looked at, a pass of the spatial network
            each.
        motion: tokens with motion are to be kept, see :class:`PatchTransformer`; None for no such loss.
        subtract_mean: whether the transformer sees differences to the mean frame of a clip, not frames.
        repaired: which bugs of the authors are repaired, see ``docs/methods/sst.md``.
        patch_snippets: how many snippets of a video have maps, those of the highest scores; None for all.
        **kwargs: arguments of :class:`WSVADModule`.

    Raises:
        WSVADError: if the sizes do not fit together, or options exclude each other.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        **{f"temporal_{term}": weight for term, weight in DUAL_MEMORY_WEIGHTS.items()},
        **{f"spatial_{term}": weight for term, weight in DUAL_MEMORY_WEIGHTS.items()},
        "motion": 0.01,
    }

    not_saved: ClassVar[tuple[str, ...]] = (*WSVADModule.not_saved, "videos", "temporal_from")

    net: SSTNet

    def __init__(
        self,
        feature_dim: int = 1408,
        videos: str | None = None,
        temporal_from: str | None = None,
        hidden_dim: int = 512,
        abnormal_slots: int = 60,
        normal_slots: int = 60,
        dropout: float = 0.5,
        frames: int = 16,
        size: tuple[int, int] = (240, 320),
        tube: int = 2,
        patch: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        token_ratio: tuple[float, ...] | None = (0.7, 0.5, 0.3),
        cross_attention: bool = True,
        choose: Chosen = "top",
        num_chosen: int = 1,
        motion: Motion | None = None,
        subtract_mean: bool = False,
        repaired: tuple[Repair, ...] = (),
        patch_snippets: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        self.videos, self.temporal_from = videos, temporal_from
        self.choose, self.num_chosen = choose, num_chosen
        self.repaired, self.patch_snippets = frozenset(repaired), patch_snippets
        self.source: SnippetClips | None = None
        self._check_options(token_ratio, motion)
        ratios = token_ratio or ()
        if depth <= len(ratios):
            problem = f"has fewer blocks than model.token_ratio={[*ratios]} needs, one before each"
            raise WSVADError("model.depth", depth, problem, f"Give at least {len(ratios) + 1}")
        self.net = SSTNet(
            feature_dim,
            TubeGrid(frames, (size[0], size[1]), tube, patch),
            hidden_dim,
            abnormal_slots,
            normal_slots,
            dropout,
            dim,
            depth,
            heads,
            pruning={depth * i // (len(ratios) + 1): ratio for i, ratio in enumerate(ratios, start=1)},
            token_order="raster" if "order" in self.repaired else "score",
            motion=motion,
            cross_attention=cross_attention,
            subtract_mean=subtract_mean,
        )

    def _check_options(self, token_ratio: tuple[float, ...] | None, motion: Motion | None) -> None:
        if motion is not None and not token_ratio:
            problem = "asks that tokens with motion are kept, and model.token_ratio is null: all are"
            raise WSVADError("model.motion", motion, problem, "Give model.token_ratio, or leave it out")
        if self.num_chosen < 1:
            raise WSVADError("model.num_chosen", self.num_chosen, "must be at least 1", "Give 1 or more")
        if self.num_chosen > 1 and self.choose != "top":
            problem = f"several snippets are the top ones, not model.choose={self.choose}"
            raise WSVADError("model.num_chosen", self.num_chosen, problem, "Set model.choose to top")
        if self.patch_snippets is not None and self.patch_snippets < 1:
            problem = "must be at least 1"
            raise WSVADError("model.patch_snippets", self.patch_snippets, problem, "Give 1 or more, or null")

    # -------------------------------------------------------------------------------------------- frames

    def setup(self, stage: str) -> None:
        """Check as every method does; to train, find the videos and give the temporal network its start.

        Raises:
            WSVADError: if store and method do not fit, bags are not of even segments, a video is missing, or
                ``temporal_from`` does not fit.
        """
        super().setup(stage)
        self.source = None
        if stage != "fit":
            return
        assert self.videos is not None, "checked above"
        if self.data.sampling != "mean_bins":
            problem = "does not say which frames a segment is of"
            raise WSVADError("data.sampling", self.data.sampling, problem, "Set it to mean_bins")
        self.open_videos(self.videos).require(self.data.parts["train"])
        if self.temporal_from is not None:
            take_part(self.net.temporal, self.temporal_from, "net", "model.temporal_from", method="URDMU")

    def check_trainable(self) -> None:
        """See :class:`WSVADModule`."""
        if self.videos is None:
            problem = "is required: the spatial network learns from frames"
            remedy = "Give the folder of the videos that the store was extracted from"
            raise WSVADError("model.videos", None, problem, remedy)

    def open_videos(self, folder: str) -> SnippetClips:
        """Find the videos of the store in a folder, once in a stage.

        Raises:
            WSVADError: if there is no such folder, or a name may mean several videos.
        """
        if self.source is None:
            lengths = {video_id: self.data.store[video_id].num_frames for video_id in self.data.video_ids}
            fps, grid = played_at(self.data.store.provenance.preprocessing), self.net.grid
            self.source = SnippetClips(folder, lengths, grid.frames, grid.size, fps)
        return self.source

    def teardown(self, stage: str) -> None:
        """Close the videos."""
        if self.source is not None:
            self.source.close()
            self.source = None

    def clips(self, batch: WSVADBatch, chosen: Tensor) -> Tensor:
        """Read the clips ``[B, 3, F, H, W]`` of the segments that are looked at.

        Args:
            batch: of bags.
            chosen: ``[B]`` place of a segment in its bag.
        """
        assert self.source is not None, "setup has found the videos"
        grid, frames, segments = self.data.info.grid, self.net.grid.frames, batch.features.shape[2]
        starts = []
        for video_id, segment in zip(batch.video_ids, chosen.tolist(), strict=True):
            snippets = self.data.store[video_id].num_snippets
            if "frames" in self.repaired:
                starts.append(snippet_start(middle_snippet(segment, segments, snippets), grid, frames))
            else:
                starts.append(official_start(segment, snippets, frames))
        return self.source.read(batch.video_ids, starts).to(self.device)

    # -------------------------------------------------------------------------------------------- scores

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets by the temporal network: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net.temporal(batch.features)
        return scores

    def patch_maps(self, batch: WSVADBatch) -> Tensor | None:
        """Give the score of every patch of a single whole video, ``[T, rows, columns]`` in [0, 1].

        It is the highest over the tubelets of a snippet, times the score of the snippet. Patches that were
        dropped, and snippets that were not looked at, have the score 0. Without a folder of videos, or a run
        that knows which of them is scored, maps are those of any method on features of patches.

        Raises:
            WSVADError: if the video is missing or cannot be decoded.
        """
        if self.videos is None or self._trainer is None:
            return super().patch_maps(batch)
        (video_id,) = batch.video_ids
        source = self.open_videos(self.videos)
        source.require([video_id])
        described = self.net.temporal.describe(batch.features)
        scores = self.net.temporal.classify(described).squeeze(0)
        grid, (_, rows, columns) = self.data.info.grid, self.net.grid.shape
        maps = scores.new_zeros(len(scores), rows, columns)
        ranked = scores.topk(min(len(scores), self.patch_snippets or len(scores))).indices.tolist()
        apart = -(-self.net.grid.frames // grid.stride)  # clips do not overlap: decode onwards
        ordered = sorted(ranked, key=lambda snippet: (snippet % apart, snippet))
        parts = torch.split(torch.tensor(ordered, device=scores.device), CLIPS)
        for some in self.advancing(parts, len(parts)):
            starts = [snippet_start(snippet, grid, self.net.grid.frames) for snippet in some.tolist()]
            clips = source.read([video_id] * len(starts), starts).to(self.device)
            patches = self.net.map_patches(clips, described.mean(dim=1)[0, some])
            maps[some] = patches * scores[some, None, None]
        return maps

    # ------------------------------------------------------------------------------------------ training

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the package's docstring lists; of several snippets a video, their means."""
        temporal = self.net.temporal.forward_pairs(batch.features)
        of_snippets = [
            self.patch_losses(batch, temporal, chosen) for chosen in self.choose_snippets(temporal).T
        ]
        terms = dual_memory_losses(temporal, batch.labels)
        return {
            **{f"temporal_{term}": value for term, value in terms.items()},
            **{term: torch.stack([losses[term] for losses in of_snippets]).mean() for term in of_snippets[0]},
        }

    def choose_snippets(self, temporal: DualMemoryOutput) -> Tensor:
        """Choose the snippets that are looked at: ``[B, k]`` places, the normal half first.

        Normal videos are ranked by the activation of the normal memory, abnormal ones by the abnormal one's.
        """
        activation = torch.cat([temporal.normal_of_normal, temporal.abnormal_of_abnormal]).mean(dim=1)
        length = activation.shape[-1]
        most = min(length, max(length // 16 + 1, self.num_chosen, 2 if self.choose == "second" else 1))
        ranked = activation.topk(most, dim=-1).indices
        if self.choose == "top":
            return ranked[:, : self.num_chosen]
        rank = min(1, most - 1) if self.choose == "second" else int(torch.randint(most, ()))
        return ranked[:, rank : rank + 1]

    def patch_losses(
        self, batch: WSVADBatch, temporal: DualMemoryOutput, chosen: Tensor
    ) -> dict[str, Tensor]:
        """Give the terms of the patches of one snippet a video.

        Args:
            batch: of the videos.
            temporal: of the temporal network.
            chosen: ``[B]`` place of the snippet among those of the bag.
        """
        tokens: MaskedTokens = self.net.dtfe.forward_masked(self.clips(batch, chosen))
        looked_at = None if self.net.spatial.look is None else self.snippet_keys(temporal.described, chosen)
        out = self.net.spatial.forward_pairs(tokens.tokens[:, None], looked_at)
        normal, abnormal = halves(tokens.motion)
        kept = normal.sum() + abnormal.sum() if "motion" in self.repaired else abnormal.sum()
        terms = dual_memory_losses(out, batch.labels)
        return {**{f"spatial_{term}": value for term, value in terms.items()}, "motion": -kept}

    def snippet_keys(self, described: Tensor, chosen: Tensor) -> Tensor:
        """Give the snippets that the patches of a video attend to, the mean over crops: ``[B, 1, S, 2H]``.

        As the authors index it, these are the snippets of the video at the places chosen in any video of the
        batch; repaired, it is the video's own.

        Args:
            described: ``[B, N, T, 2H]`` by the temporal network.
            chosen: ``[B]``.
        """
        mean = described.mean(dim=1, keepdim=True)
        if "keys" in self.repaired:
            return torch.take_along_dim(mean, chosen[:, None, None, None], dim=2)
        return mean[:, :, chosen]
