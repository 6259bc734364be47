"""What is odd about a video, in words."""

from collections.abc import Sequence

from wsvad_lightning.errors import counted
from wsvad_lightning.timeline import join
from wsvad_lightning.video.film import Film
from wsvad_lightning.video.stamps import TimeStamps

NAMED = 5  # runs of frames in a note; the rest is counted
TOLERANCE = 0.75  # frames by which a stated duration may be rounded


class Oddities:
    """What is odd about a video, while its frames come in.

    Attributes:
        lost: numbers of the frames that could not be decoded.
        damaged: numbers of those that were decoded from what was left of them.
        turned: how pictures were turned, in words.
        sizes: width and height of the pictures as they are stored.
    """

    def __init__(self) -> None:
        self.lost, self.damaged = list[int](), list[int]()
        self.turned, self.sizes = set[str](), set[tuple[int, int]]()

    def notes(self, film: Film, stamps: TimeStamps, *, resampled: bool) -> tuple[str, ...]:
        """Describe them, each in a few words.

        Args:
            film: which track was read, and what its header states.
            stamps: of all frames.
            resampled: whether the video was played at a constant rate.
        """
        num_frames, notes = stamps.num_frames, [*film.notes, *sorted(self.turned)]
        if self.lost:
            notes.append(
                f"{len(self.lost)} of {num_frames} frames lost ({spans(self.lost)}): a neighbour takes the "
                "place of each"
            )
        if self.damaged:
            notes.append(f"{len(self.damaged)} of {num_frames} frames damaged ({spans(self.damaged)})")
        notes += _of_counts(num_frames, film.stated_counts(), stamps.irregular and not resampled)
        if film.is_cut():
            notes.append("the file does not end with a whole packet: it is cut, and may have had more frames")
        if unread := film.unread():
            notes.append(f"no frame in the last {max(unread, 0.01):.0%} of the file")
        notes += _of_stamps(stamps)
        if len(self.sizes) > 1:
            notes.append(f"{len(self.sizes)} sizes of pictures: all are scaled to the first")
        return tuple(notes)


def _of_counts(num_frames: int, stated: Sequence[float], irregular: bool) -> list[str]:
    """Compare the frames with their number in the header, which is often wrong in one of several ways."""
    differs = stated and all(abs(count - num_frames) > TOLERANCE for count in stated)
    difference = (
        f"{counted(num_frames, 'frame')} where the header states {round(stated[0])}" if differs else ""
    )
    if not irregular:
        return [difference] if differs else []
    lost = f", or frames are lost ({difference})" if differs else ""
    return [
        f"variable frame rate{lost}: every decoded frame counts, however long it is shown; "
        "`wsvad extract --fps` plays it evenly"
    ]


def _of_stamps(stamps: TimeStamps) -> list[str]:
    rate = f"{stamps.rate():.4g} frames a second"
    if stamps.missing == stamps.num_frames:
        return [f"no time stamps: {rate} is what the decoder takes for its rate"]
    notes = []
    if stamps.missing:
        notes.append(f"{stamps.missing} of {stamps.num_frames} frames without a valid time stamp")
    if stamps.jumps:
        notes.append(f"time stamps jump (frame {spans(stamps.jumps)}): time goes on there at {rate}")
    return notes


def spans(frames: Sequence[int]) -> str:
    """Name runs of frames, such as ``7, 60-62``, the first ones of many."""
    runs = join((frame, frame + 1) for frame in frames)
    named = [str(start) if end == start + 1 else f"{start}-{end - 1}" for start, end in runs[:NAMED]]
    return ", ".join(named) + (f" and {len(runs) - NAMED} more" if len(runs) > NAMED else "")
