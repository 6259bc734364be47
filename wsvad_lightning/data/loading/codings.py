"""Whether a video is encoded like those that a model was trained with.

Another codec, or far more or fewer bits a pixel, moves features and scores by less than people do, so that
features alone seldom show it, and a threshold no longer means what it did. What files state shows it at once.
"""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from wsvad_lightning.data.loading.familiarity import FEWEST, LIMIT, PREFIX, UNSURE
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import Coding

OWN = f"{PREFIX}coding/"  # of the statistics in a checkpoint
CODECS, BITS = f"{OWN}codecs", f"{OWN}bits"
NAMES = re.compile(r"\w{1,30}(,\w{1,30}){0,30}", re.ASCII)
NOTHING = torch.zeros(0, dtype=torch.uint8)
LEAST_FACTOR = 2.0  # between bits a pixel, below which nothing is said
LEAST_DEVIATION = math.log2(LEAST_FACTOR) / LIMIT  # of the logarithm of bits a pixel
TINY = 2.0**-30  # bits a pixel


class Codings:
    """Compares how videos are encoded with those of the training.

    The statistics come from :meth:`fit` or from :meth:`load_state_dict`; without any, nothing is compared.
    """

    def __init__(self) -> None:
        self._codecs: tuple[str, ...] = ()
        self._mean = self._deviation = 0.0

    def fit(self, codings: Sequence[Coding | None]) -> None:
        """Learn what is usual; nothing from fewer than 24 videos, or where one is of unknown coding."""
        known = [coding for coding in codings if coding is not None]
        if len(known) < max(FEWEST, len(codings)):
            return
        bits = torch.tensor([_level(coding) for coding in known])
        deviation = float(bits.std()) * (1 + UNSURE / len(known))
        self._codecs = tuple(sorted({coding.codec for coding in known}))
        self._mean, self._deviation = float(bits.mean()), max(deviation, LEAST_DEVIATION)

    def change(self, coding: Coding | None) -> str:
        """Say how a video is encoded otherwise than those of the training; empty if it is not, or unknown."""
        if coding is None or not self._codecs:
            return ""
        if coding.codec not in self._codecs:
            return f"{coding.codec}, not {' or '.join(self._codecs)}"
        far = LIMIT * self._deviation
        if abs(_level(coding) - self._mean) <= far:
            return ""
        low, high = 2 ** (self._mean - far), 2 ** (self._mean + far)
        return f"{coding.bits_per_pixel:.2g} bits a pixel, not {low:.2g} to {high:.2g}"

    def state_dict(self) -> dict[str, Tensor]:
        """Give the statistics: names of codecs as bytes, mean and deviation of log2 of the bits a pixel."""
        if not self._codecs:
            return {}
        names = torch.tensor([*",".join(self._codecs).encode()], dtype=torch.uint8)
        return {CODECS: names, BITS: torch.tensor([self._mean, self._deviation])}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the statistics over; a checkpoint of an earlier version has none.

        Args:
            state: statistics of the training; others are passed over.

        Raises:
            WSVADError: if they are not such as :meth:`state_dict` gives.
        """
        self._codecs = ()
        if not any(name.startswith(OWN) for name in state):
            return
        names, bits = state.get(CODECS, NOTHING), state.get(BITS, NOTHING)
        text = bytes(names.tolist()).decode("ascii", "replace") if names.dtype == torch.uint8 else ""
        known = bits.dtype == torch.float32 and bits.shape == (2,) and bool(torch.isfinite(bits).all())
        if not (known and bits[1] > 0 and NAMES.fullmatch(text)):
            problem = "does not say how its training videos are encoded"
            raise WSVADError("--ckpt_path", None, problem, "Give a file that `wsvad fit` wrote")
        self._codecs = tuple(text.split(","))
        self._mean, self._deviation = bits.tolist()


def _level(coding: Coding) -> float:
    return math.log2(max(coding.bits_per_pixel, TINY))
