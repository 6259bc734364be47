"""``wsvad data remove``: take videos out of a store."""

from rich.console import Console

from wsvad_lightning.data.datasets.names import match_videos
from wsvad_lightning.data.store.reader import FeatureStore
from wsvad_lightning.data.store.writer import StoreWriter
from wsvad_lightning.errors import WSVADError, did_you_mean


def remove(store: str, videos: list[str]) -> None:
    """Take videos out of a feature store, all of them in one step: killed at any time, it leaves all or none.

    This requires as much free space as the store takes.

    Args:
        store: the store.
        videos: their names, as ``wsvad extract`` and a table name them.

    Raises:
        WSVADError: if a video is not in the store or a name may mean several, none would be left, another
            command writes into the store, or the disk is full. The store stays as it was then.
    """
    opened = FeatureStore(store)
    if len(opened.paths) > 1:
        raise WSVADError("store", store, f"names {len(opened.paths)} stores", "Give one of them")
    found = []
    for name, video_id in zip(videos, match_videos(videos, opened.video_paths), strict=True):
        if video_id is None:
            remedy = did_you_mean(name, opened) + "See what it holds with `wsvad data info`"
            raise WSVADError("videos", name, f"is not in {store}", remedy)
        found.append(video_id)
    with StoreWriter(opened.paths[0], opened.provenance) as writer:
        writer.remove(found)
    left = FeatureStore(opened.paths)
    Console().print(
        f"{store}: {len(opened) - len(left)} removed, {len(left)} left", highlight=False, soft_wrap=True
    )
