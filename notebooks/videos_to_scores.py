# %% [markdown]
# # From a folder of videos to scores
#
# One label a video is enough: this notebook extracts features, trains UR-DMU on the CPU, and draws
# the scores of videos that the training did not see. It runs as a script too; `jupytext --to ipynb
# notebooks/videos_to_scores.py` makes a notebook of it.
#
# What you change is in the first cell. A folder that does not exist is filled with rendered clips,
# so that everything can be tried without videos.

# %%
from pathlib import Path

from wsvad_lightning.demo.render import DemoSpec

videos, table, store = Path("videos"), Path("videos.csv"), Path("videos.h5")
clips = DemoSpec(12, 12, 2, 2, min_frames=60, max_frames=80, width=120, height=80, difficulty="plain")
steps = 50

# %% [markdown]
# ## The videos and their labels
#
# `videos.csv` has a row a video. `normal` and `abnormal` are enough as labels; here they are what
# happens. The column `split` says which videos are kept for the end.

# %%
import matplotlib.pyplot as plt
import numpy as np

from wsvad_lightning import Detector
from wsvad_lightning.cli import main
from wsvad_lightning.demo.render import list_clips, render_clip


def wsvad(line: str) -> None:
    """Run a line as a shell would; a mistake ends the script."""
    if status := main(line.split()):
        raise SystemExit(status)


if not videos.exists():
    videos.mkdir()
    rows = ["video,label,split"]
    for clip in list_clips(clips, seed=0):
        render_clip(clip, videos)
        rows.append(f"{clip.name}.mp4,{clip.label},{clip.split}")
    table.write_text("\n".join(rows) + "\n")

# %% [markdown]
# ## Features and training
#
# Motion features need no weights. The store holds them for every video, and the checkpoint how they
# were made.

# %%
wsvad(f"extract {videos} {store} --annotations {table} --config extract/motion.yaml")
wsvad(f"fit --config ped2_urdmu.yaml --data.store {store} --trainer.max_steps {steps} --name notebook")

# %% [markdown]
# ## Scores
#
# A score in [0, 1] for each snippet, here of eight frames, four frames apart. The same scores come
# from `wsvad predict --ckpt_path … --videos …`, with a report and the videos with their scores
# drawn in.

# %%
newest = max(
    Path("runs/notebook").glob("version_*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime
)
detector = Detector.from_checkpoint(newest)
held_back = [line.split(",")[0] for line in table.read_text().splitlines() if line.endswith(",test")]
scores = {name: detector.score_video(videos / name).scores for name in held_back}

# %%
figure, axes = plt.subplots(
    len(scores), figsize=(8, 1.6 * len(scores)), sharey=True, squeeze=False, layout="constrained"
)
for axis, (name, values) in zip(axes[:, 0], scores.items(), strict=True):
    start = detector.grid.stride * np.arange(len(values))
    axis.step(start, values, where="post")
    axis.set(title=name, xlabel="frame", ylabel="score", ylim=(0, 1))
figure.savefig("scores.png")

# %% [markdown]
# Twenty-four rendered clips from four cameras are few: in the run that this was written after, both
# abnormal clips scored high all along, and so did one of the two normal ones. `wsvad demo` has more clips,
# and figures with them.
