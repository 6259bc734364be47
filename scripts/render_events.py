"""Render long videos with short anomalies, which clicks are for.

    python scripts/render_events.py runs/events --seed 0

Of the kinds of the demo only those that pass through the view are kept: someone who runs, a bicycle or cart,
someone who walks against the flow. In 40 seconds they last a few.
"""

from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from rich.progress import track

from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.demo.render import DemoSpec, annotate_clip, list_clips, render_clip
from wsvad_lightning.types import NORMAL

KINDS = (NORMAL, "running", "vehicle", "wrong_way")


def main(folder: str, seed: int = 0, frames: int = 400) -> None:
    """Write ``videos/*.mp4`` and ``annotations.csv``; what is there already is kept.

    Args:
        folder: for everything.
        seed: of everything that is left to chance.
        frames: of each video, 10 a second.
    """
    spec = DemoSpec(
        16, 25, 8, 15, min_frames=frames, max_frames=frames, width=120, height=80, difficulty="plain"
    )
    clips = [clip for clip in list_clips(spec, seed) if clip.label in KINDS]
    videos = Path(folder) / "videos"
    for clip in track(clips, "Rendering videos"):
        if not (videos / f"{clip.name}.mp4").exists():
            render_clip(clip, videos)
    annotations = {clip.name: annotate_clip(clip) for clip in clips}
    write_annotations(Path(folder) / "annotations.csv", annotations)
    shares = [sum(e - s for s, e in video.intervals or ()) / frames for video in annotations.values()]
    lasting = [share for share in shares if share]
    print(f"{len(clips)} videos; an anomaly lasts {np.mean(lasting):.1%} of its video")


if __name__ == "__main__":
    auto_cli(main)
