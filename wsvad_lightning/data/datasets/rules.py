"""How authors label the frames of a video, so that their numbers can be reproduced.

``exact`` is the default: a label for each of the F frames that the video has, anomalous in ``[start, end)``.
The official rules are those of authors, who read the same annotations differently, and whose vectors end with
the last snippet of 16 frames, not with the last frame. T is the number of snippets of the features.

==================== ============================================ ==========================================
rule                 anomalous frames of an event from s to e     labels
==================== ============================================ ==========================================
exact                s, ..., e - 1                                F
official:sultani     s - 1, ..., e - 1 (UCF-Crime, MATLAB code)   F
official:deepmil     s, ..., e - 1 (UCF-Crime; UR-DMU, PEL4VAD)   16 T, T = floor(F / 16), in nine videos one
                                                                  less; the frames after them are dropped
official:rtfm        s, ..., e (UCF-Crime)                        16 T, T = ceil(F / 16)
official:rtfm_sht    s, ..., e - 1 (ShanghaiTech; S3R, SSRL)      16 T, T = ceil(F / 16), the last label
                                                                  repeated
official:pel4vad_sht s, ..., e - 1 (ShanghaiTech; ADPLG)          16 T, T = floor((F - 2) / 16)
official:xdviodet    s, ..., e - 1 (XD-Violence; PEL4VAD, ADPLG)  16 T, T = floor((F - 1) / 16)
official:vadclip     s, ..., e - 1 (UCF-Crime, XD-Violence)       16 T, T = floor(F / 16) or ceil(F / 16)
==================== ============================================ ==========================================

Features that come without videos have no frame counts. Where F is 16 T for that reason, every rule takes it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid

SNIPPET = 16
SHORTER = {  # UCF-Crime videos of whole snippets of which the published I3D features lack the last one
    "Assault006_x264",
    "Burglary037_x264",
    "RoadAccidents010_x264",
    "RoadAccidents016_x264",
    "Shooting046_x264",
    "Shoplifting010_x264",
    "Shoplifting015_x264",
    "Normal_Videos_881_x264",
    "Normal_Videos_914_x264",
}
PAST_THE_END = {  # ends of UCF-Crime events after the last frame, which labels of padded frames go by
    "Arson011_x264": 1267,
    "Arson016_x264": 1796,
    "Explosion033_x264": 3156,
    "Fighting003_x264": 3103,
    "Shooting015_x264": 1715,
}


class Rule(NamedTuple):
    """One way to label frames; the module lists them all.

    Attributes:
        name: as users give it.
        counts: T that a video and its F may have, the usual one first; None for a label each of F frames.
        before: frames between the annotated start and the first anomalous frame.
        after: frames between the annotated end and the end.
        repeats_last: whether frames after the last one have its label.
    """

    name: str
    counts: Callable[[str, int], tuple[int, ...]] | None = None
    before: int = 0
    after: int = 0
    repeats_last: bool = False

    def knows(self, video: VideoAnnotation) -> bool:
        """Whether the frames of a video can be labelled: where its intervals are known."""
        return video.intervals is not None

    def label(
        self, video: VideoAnnotation, num_frames: int, num_snippets: int | None = None
    ) -> NDArray[np.uint8]:
        """Label the frames of a video.

        Args:
            video: what is known of it.
            num_frames: F.
            num_snippets: T of its features; None for what the authors have.

        Returns:
            ``[F]`` or ``[16 T]``, 0 normal and 1 anomalous.

        Raises:
            WSVADError: if the intervals are unknown, or F or T does not fit.
        """
        exact = video.frame_labels(num_frames)
        length = num_frames if self.counts is None else SNIPPET * self._count(video, num_frames, num_snippets)
        labels = np.zeros(length, dtype=np.uint8)
        for start, end in video.intervals or ():
            last = PAST_THE_END.get(video.video_id, end) if end == num_frames else end
            labels[max(0, start + self.before) : last + self.after] = 1
        if self.repeats_last:
            labels[num_frames:] = exact[-1]
        return labels

    def check_snippets(self, grid: SnippetGrid) -> None:
        """Compare with the snippets of a store.

        Args:
            grid: positions of the snippets.

        Raises:
            WSVADError: if the rule needs other snippets.
        """
        if self.counts is not None and (grid.length, grid.stride) != (SNIPPET, SNIPPET):
            problem = f"needs snippets of {SNIPPET} frames; the store has {grid}"
            raise WSVADError("data.gt_rule", self.name, problem, "Use exact")

    def _count(self, video: VideoAnnotation, num_frames: int, given: int | None) -> int:
        assert self.counts is not None
        counts = self.counts(video.video_id, num_frames)
        if given is None:
            return counts[0]
        if given not in counts and SNIPPET * given != num_frames:
            allowed = " or ".join(map(str, dict.fromkeys(counts)))
            problem = f"{video.video_id} has {given} snippets; it gives {allowed} for {num_frames} frames"
            raise WSVADError("data.gt_rule", self.name, problem, "Use the features it is about, or exact")
        return given


def _whole(video_id: str, num_frames: int) -> tuple[int, ...]:
    return (num_frames // SNIPPET - (video_id in SHORTER),)


def _padded(_video_id: str, num_frames: int) -> tuple[int, ...]:
    return (-(-num_frames // SNIPPET),)


def _before_last(_video_id: str, num_frames: int) -> tuple[int, ...]:
    return ((num_frames - 1) // SNIPPET,)


def _before_last_two(_video_id: str, num_frames: int) -> tuple[int, ...]:
    return ((num_frames - 2) // SNIPPET,)


def _either(_video_id: str, num_frames: int) -> tuple[int, ...]:
    return (num_frames // SNIPPET, -(-num_frames // SNIPPET))


RULES = {
    rule.name: rule
    for rule in (
        Rule("exact"),
        Rule("official:sultani", before=-1),
        Rule("official:deepmil", _whole),
        Rule("official:rtfm", _padded, after=1),
        Rule("official:rtfm_sht", _padded, repeats_last=True),
        Rule("official:pel4vad_sht", _before_last_two),
        Rule("official:xdviodet", _before_last),
        Rule("official:vadclip", _either),
    )
}


def find_rule(name: str) -> Rule:
    """Find a rule by its name.

    Args:
        name: such as ``exact`` or ``official:rtfm``.

    Raises:
        WSVADError: if there is none.
    """
    if name not in RULES:
        raise WSVADError("gt_rule", name, "no such rule", f"Give one of {', '.join(RULES)}")
    return RULES[name]
