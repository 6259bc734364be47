"""How many videos there are of each class and part."""

from collections import Counter
from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from wsvad_lightning.data.datasets.annotations import VideoAnnotation


def table_of_classes(videos: Iterable[VideoAnnotation]) -> Table:
    """Count the videos of each class, one column per split; a video of several classes counts in each.

    Args:
        videos: what is known of them.
    """
    counts = Counter((name, video.split or "no split") for video in videos for name in video.classes)
    splits = sorted({split for _, split in counts}, reverse=True)
    table = Table("class", *map(escape, splits))
    for name in sorted({name for name, _ in counts}):
        table.add_row(escape(name), *(str(counts[name, split]) for split in splits))
    return table
