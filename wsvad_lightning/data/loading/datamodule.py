"""The data module: one feature store, a split and a recipe become the loaders of every stage."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.rules import Rule, find_rule
from wsvad_lightning.data.datasets.vectors import Listed, ReadyLabels, read_vector
from wsvad_lightning.data.loading.base import STAGES, ResumableDataModule
from wsvad_lightning.data.loading.cache import SegmentCache
from wsvad_lightning.data.loading.catalogue import Catalogue
from wsvad_lightning.data.loading.codings import Codings
from wsvad_lightning.data.loading.dataset import (
    BatchLoader,
    SegmentSource,
    StoreSegments,
    TrainingBags,
    WholeVideos,
)
from wsvad_lightning.data.loading.familiarity import FEWEST, PREFIX, VIDEOS, Familiarity, evenly
from wsvad_lightning.data.loading.glances import Glances, used_glances
from wsvad_lightning.data.loading.readers import FeatureReader, FeatureReaders
from wsvad_lightning.data.loading.sampling import DETERMINISTIC, Sampling
from wsvad_lightning.data.loading.transform import Crops, FeatureTransform, Normalize
from wsvad_lightning.data.loading.windows import TrainingWindows
from wsvad_lightning.data.store import Features, FeatureStore
from wsvad_lightning.data.store.artefacts import artefact_path, read_artefact
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import Bags, Patches, StoreInfo, WSVADBatch


class WSVADDataModule(ResumableDataModule):
    """Paired bags to train with; held-out, test and other videos at full length to score.

    * Training: ``[2 batch_size, N, segments, D]``, the normal half first, from one loader whose order
      survives interruptions: a resumed run sees the batches that an uninterrupted one would have seen.
    * Validation: a part of the training videos held out (``val_fraction``, or the part ``val`` of the split),
      without frame labels, so that choosing a model by it stays weakly supervised.
    * Test: the test videos with frame labels, each once, on one of the ranks.
    * Prediction: every video of the store; split and annotations are not read.

    Args:
        store: feature store, several of them, or a glob pattern.
        split: file that names the videos of each part; None for the split written in the store.
        split_index: which of the splits in that file, from 0.
        annotations: table that replaces the labels, classes and intervals written in the store.
        gt_rule: how the frames of test videos are labelled: ``exact``, or as the authors of a benchmark's
            published numbers do, see :mod:`wsvad_lightning.data.datasets.rules`.
        gt_vector: file of ready frame labels of the test videos in place of a rule, see
            :mod:`wsvad_lightning.data.datasets.vectors`.
        gt_list: list of videos, in the order of an array ``gt_vector``.
        features: stream of the store; several are joined along the channels, the views merged first where
            ``crops`` merges them.
        bags: what is trained on: ``paired`` normal and abnormal videos, or unlabelled ``windows`` of
            consecutive snippets with all their views; the method determines which.
        across_videos: whether windows may begin in one video and end in another.
        segments: S, segments of a training bag, or snippets of a window.
        sampling: how a video of any length becomes S segments, see
            :mod:`wsvad_lightning.data.loading.sampling`;
            windows are taken as they are.
        crops: what becomes of the N views: ``all`` in a bag, ``each`` a bag of its own, a ``random`` one, or
            all of them merged by ``mean``, ``max`` or ``concat`` (channels). ``each`` and ``random`` are for
            training; elsewhere they deliver all.
        normalize: ``none``, ``l2`` (each vector to length 1), ``zscore`` (statistics of the normal training
            videos, for each view and channel) or ``zscore_shared`` (for each channel over all views).
        clip: limit of the normalised values, such as 5 for ``zscore``; None for no limit.
        pca_dim: first principal axes of the normal training videos to keep, None for no PCA.
        glances: which glances of training videos are learnt from: ``all``, or as GlanceVAD's authors have it
            (``official``), none of a video whose first one is frame 0.
        batch_size: bags of each class, or windows, in a batch, on each device.
        val_fraction: part of the training videos of each class to hold out.
        num_workers: loading processes; 0 loads in the training process.
        seed: of everything random; None for a run that is not seeded, whose data are those of seed 0.
        cache_dir: folder for ready-made training bags, written at the first use; None reads the store.

    Attributes:
        chosen: names of the videos to predict; None for all.

    Raises:
        WSVADError: if a number is out of range; later, if store, split and annotations do not fit together.
    """

    def __init__(
        self,
        store: str | list[str],
        split: str | None = None,
        split_index: int = 0,
        annotations: str | None = None,
        gt_rule: str = "exact",
        gt_vector: str | None = None,
        gt_list: str | None = None,
        features: str | list[str] = "features",
        bags: Bags = "paired",
        across_videos: bool = False,
        segments: int = 32,
        sampling: Sampling = "mean_bins",
        crops: Crops = "all",
        normalize: Normalize = "none",
        clip: float | None = None,
        pca_dim: int | None = None,
        glances: Glances = "all",
        batch_size: int = 32,
        val_fraction: float = 0.0,
        num_workers: int = 0,
        seed: int | None = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(batch_size, num_workers, seed, {"segments": (segments, 1)})
        self.catalogue: Catalogue = Catalogue(store, split, split_index, annotations, val_fraction, self.seed)
        self.gt_rule, self.gt_vector, self.gt_list = find_rule(gt_rule), gt_vector, gt_list
        self.streams = (features,) if isinstance(features, str) else tuple(features)
        self.bags: Bags = bags
        self.across_videos = across_videos
        self.segments, self.sampling, self.crops = segments, sampling, crops
        self.normalize, self.clip, self.pca_dim = normalize, clip, pca_dim
        self.glances: Glances = glances
        self.cache_dir = cache_dir
        self.chosen: Collection[str] | None = None
        self._check_settings()

    def _check_settings(self) -> None:
        if not self.streams or len(set(self.streams)) < len(self.streams):
            named = ", ".join(self.streams)
            raise WSVADError("data.features", named, "names no stream, or one twice", "Name each once")
        if self.clip is not None and self.clip <= 0:
            raise WSVADError("data.clip", self.clip, "must be more than 0", "Give a limit of absolute values")
        if self.gt_list is not None and self.gt_vector is None:
            problem = "is the order of data.gt_vector, which is not given"
            raise WSVADError("data.gt_list", self.gt_list, problem, "Give both, or none")
        if self.gt_vector is not None and self.gt_rule.name != "exact":
            problem = f"takes the place of the rule {self.gt_rule.name}"
            raise WSVADError("data.gt_vector", self.gt_vector, problem, "Leave data.gt_rule out")
        if self.bags == "windows" and (self.crops in ("each", "random") or self.cache_dir is not None):
            problem = (
                f"windows hold all views, uncached; given are crops={self.crops}, cache_dir={self.cache_dir}"
            )
            raise WSVADError(
                "data.bags", self.bags, problem, "Keep the views or merge them, and unset cache_dir"
            )
        if self.cache_dir is not None and self.sampling not in DETERMINISTIC:
            remedy = f"Unset data.cache_dir, or choose one of {', '.join(DETERMINISTIC)}"
            problem = "differs every time, a cache would freeze it"
            raise WSVADError("data.sampling", self.sampling, problem, remedy)

    # ------------------------------------------------------------------------------- what the store holds

    @property
    def store(self) -> FeatureStore:
        """The open feature store."""
        return self.catalogue.store

    @property
    def video_ids(self) -> list[str]:
        """All videos of the store, sorted: the same on every rank and in every stage."""
        return self.catalogue.video_ids

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the anomaly classes, sorted; in prediction, where no table is read, those of the store."""
        return self.store.classes if self._predicting else self.catalogue.classes

    @property
    def _known(self) -> Mapping[str, VideoAnnotation]:
        """What is known of the videos; in prediction, where no table is read, by the store."""
        return self.catalogue.written if self._predicting else self.annotations

    @property
    def transform(self) -> FeatureTransform:
        """What happens to the features; fitted by ``setup("fit")`` or restored from a checkpoint."""
        return self._readers.features.transform

    @property
    def feature_dim(self) -> int:
        """D of the features as delivered."""
        return self.transform.output_dim

    @property
    def info(self) -> StoreInfo:
        """What a method must know of the features."""
        source = self.store.provenance
        moves = {
            "normalize": self.transform.centred,
            "pca_dim": self.pca_dim is not None,
            "crops": self.crops == "concat",
        }
        moving = [(f"data.{name}", getattr(self, name)) for name, does in moves.items() if does]
        return StoreInfo(
            path=self.store.path,
            backbone=source.backbone,
            dim=self.feature_dim,
            views=self.transform.output_views,
            streams=self.store.streams,
            text_aligned=source.text_aligned,
            classes=self.classes,
            glances=any(video.glances for video in self._known.values()),
            grid=source.grid,
            moved_by=moving[0] if moving else None,
        )

    # ------------------------------------------------------------------------- what is prepared from it

    @property
    def reference_videos(self) -> list[str]:
        """The videos that artefacts and statistics are computed from.

        These are the normal training videos, or all of them where training knows no labels.
        """
        windows = self.bags == "windows"
        return self.parts["train"] if windows else self.catalogue.normal_training_videos

    def read(self, video_id: str) -> Features:
        """Give the features of a video as a method sees them, ``[T, N', D']``.

        Raises:
            WSVADError: if they are not finite.
        """
        return self._readers.features.read_finite(video_id)

    @property
    def patch_grid(self) -> tuple[int, int] | None:
        """Rows and columns of the finest grid of patches that the features are of; None if of none."""
        return self.transform.patch_grid

    def novelty(self, video_id: str) -> float | None:
        """How unlike those of the training the features of a video are; None if that was not recorded.

        See :mod:`wsvad_lightning.data.loading.familiarity`.
        """
        return self._familiarity.novelty(self._readers.features.read_stored(video_id))

    def coding_change(self, video_id: str) -> str:
        """How a video is encoded otherwise than those of the training; empty if it is not, or unknown."""
        return self._codings.change(self.store[video_id].coding)

    def patches(self, video_id: str) -> Patches:
        """Give a video with one patch left in, for its maps."""
        return self.transform.patches(lambda: self._readers.features.read_stored(video_id))

    @property
    def locates_anomalies(self) -> bool:
        """Whether it is known where the anomalies of test videos are, so that regions can be measured."""
        return self.catalogue.locates_anomalies

    def prepared_path(self, name: str) -> Path:
        """The file of an artefact of these features, prepared or not."""
        streams, settings = tuple(self.transform.streams), self.transform.settings
        return artefact_path(self.store, name, streams, settings, self.reference_videos)

    def prepared(self, name: str) -> Tensor | None:
        """Give an artefact of these features; None if it was not prepared.

        Raises:
            WSVADError: if it is damaged.
        """
        path = self.prepared_path(name)
        return torch.from_numpy(read_artefact(path).values) if path.exists() else None

    # --------------------------------------------------------------------------------------------- stages

    def setup(self, stage: str) -> None:
        """Read what the stage needs, and fit the transform before training.

        Raises:
            WSVADError: if something is missing or does not fit.
        """
        super().setup(stage)
        for part in STAGES.get(stage, ()):
            if (part, self.bags) != ("train", "windows"):
                self.catalogue.require_labels(part)
        if stage == "test" and self.locates_anomalies:
            rank_zero_info("The regions of test videos are known, and measured where a method gives maps")
        self.show_notes()
        if stage == "fit":
            self._readers.fit(self.reference_videos)
            train = self.parts["train"]
            compared = [train[i] for i in evenly(len(train), VIDEOS)]
            self._familiarity.fit(self._readers.features.read_finite_streams(compared))
            self._codings.fit([self.store[name].coding for name in train])
            if len(compared) < FEWEST:
                rank_zero_info(
                    f"{len(compared)} training videos are too few to recognise another camera later. "
                    f"That takes {FEWEST}, see docs/new_camera.md"
                )

    def carry(self, streams: Iterable[str], stage: str) -> None:
        """Let batches carry more streams of the store, all views of each, along with the features.

        They are normalised and clipped as the features are, and neither merged nor joined. A method that
        reads any asks for them in its ``setup``, which follows that of the data module.

        Args:
            streams: names of streams that the store holds.
            stage: as for ``setup``.
        """
        self._readers.carry(streams)
        if stage == "fit":
            self._readers.fit(self.reference_videos)

    def train_dataloader(self) -> BatchLoader[WSVADBatch]:
        """Paired bags or windows, from the step that the trainer has reached."""
        if self.bags == "windows":
            windows = TrainingWindows(
                self._readers.features, self.parts["train"], self.segments, across_videos=self.across_videos
            )
            return self.training_loader(windows, {"window": range(len(windows))})
        known = [self.annotations[video_id] for video_id in self.parts["train"]]
        videos = [replace(video, glances=used_glances(video.glances, self.glances)) for video in known]
        bags = TrainingBags(
            self._training_source(self._readers.features),
            videos,
            [self.store[video.video_id].num_snippets for video in videos],
            self.info.grid.stride,
            self.transform,
            self.sampling,
            self.segments,
            self.classes,
            {name: self._training_source(reader) for name, reader in self._readers.further.items()},
        )
        sides = {"normal video": bags.bags_of(label=0), "abnormal video": bags.bags_of(label=1)}
        return self.training_loader(bags, sides)

    def val_dataloader(self) -> BatchLoader[WSVADBatch] | list[BatchLoader[WSVADBatch]]:
        """The held-out videos of this rank, without frame labels; no loader if none are held out."""
        if not self.parts["val"]:
            return []
        return self._whole_videos(self.parts["val"], self.annotations)

    def test_dataloader(self) -> BatchLoader[WSVADBatch]:
        """The test videos of this rank, with frame labels where they are known."""
        if self.gt_vector is not None:
            rule: Rule | ReadyLabels = self._ready_labels(self.gt_vector)
        else:
            rule = self.gt_rule
            rule.check_snippets(self.info.grid)
        return self._whole_videos(self.parts["test"], self.annotations, rule)

    def predict_dataloader(self) -> BatchLoader[WSVADBatch]:
        """The chosen videos, or all of the store, those of this rank; labels are those written there."""
        names = [name for name in self.video_ids if self.chosen is None or name in self.chosen]
        return self._whole_videos(names, self.catalogue.written)

    # ---------------------------------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Tensor]:
        """Give the statistics of all streams; which batches were trained is in the trainer's own state."""
        return self._readers.state_dict() | self._familiarity.state_dict() | self._codings.state_dict()

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Take over the statistics that the model was trained with.

        Raises:
            WSVADError: if they are those of features of another shape.
        """
        compared = {name: values for name, values in state_dict.items() if name.startswith(PREFIX)}
        self._readers.load_state_dict({n: values for n, values in state_dict.items() if n not in compared})
        self._familiarity.load_state_dict(compared)
        self._codings.load_state_dict(compared)

    # ---------------------------------------------------------------------------------------------- parts

    @cached_property
    def _readers(self) -> FeatureReaders:
        how = self.normalize, self.clip, self.crops, self.pca_dim
        return FeatureReaders(self.store, self.streams, *how)

    @cached_property
    def _familiarity(self) -> Familiarity:
        return Familiarity(self.transform.streams)

    @cached_property
    def _codings(self) -> Codings:
        return Codings()

    @property
    def _predicting(self) -> bool:
        return self.trainer is not None and self.trainer.state.fn == "predict"

    def _training_source(self, reader: FeatureReader) -> SegmentSource:
        """Bags from the store, or from the cache that the first process of each machine builds."""
        source = StoreSegments(reader, self.sampling, self.segments)
        if self.cache_dir is None:
            return source
        cache = SegmentCache(self.cache_dir, source, self.parts["train"])
        if self.trainer is None or self.trainer.local_rank == 0:
            cache.build()
        if self.trainer is not None:
            self.trainer.strategy.barrier("segment cache")
        return cache

    def _ready_labels(self, path: str) -> ReadyLabels:
        videos = {
            name: Listed(
                self.store.video_paths[name],
                self.annotations[name],
                self.store[name].num_frames,
                self.info.grid.covered(self.store[name].num_snippets),
            )
            for name in self.parts["test"]
        }
        ready = read_vector(path, self.gt_list, videos)
        if ready.note is not None:
            rank_zero_info(f"note: {ready.note}")
        return ready

    def _whole_videos(
        self,
        names: Sequence[str],
        annotations: Mapping[str, VideoAnnotation],
        rule: Rule | ReadyLabels | None = None,
    ) -> BatchLoader[WSVADBatch]:
        if self.transform.needs_fit:
            problem = "needs statistics of the training videos, which a checkpoint carries"
            raise WSVADError("data.normalize", self.normalize, problem, "Give --ckpt_path")
        videos = [annotations[name] for name in self.share(names)]
        whole = WholeVideos(
            self._readers.features,
            videos,
            self.classes,
            self._readers.further,
            rule=rule,
            regions=rule is not None and self.locates_anomalies,
        )
        return self.loader(whole)
