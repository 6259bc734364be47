# %% [markdown]
# # Read a store, train, look at scores
#
# The parts that the commands are made of, in Python: a feature store, a data module, a method,
# Lightning's trainer and frame-level metrics. It runs as a script too; `jupytext --to ipynb
# notebooks/store_to_scores.py` makes a notebook of it.

# %%
from wsvad_lightning.data.store.synthetic import make_store

path = make_store(
    "synthetic.h5", train=12, test=4, dim=16, crops=2, seed=0
)  # or the store of `wsvad extract`
steps = 100

# %% [markdown]
# ## The store
#
# Features are `[T, N, D]`: T snippets, N crops, D channels. A label is of the whole video; where an
# anomaly lies is known of the test videos alone.

# %%
from wsvad_lightning.data.store import FeatureStore

store = FeatureStore(path)
grid = store.provenance.grid
print(f"{len(store)} videos, {grid.length} frames a snippet")
for name in list(store)[:3]:
    record = store[name]
    print(
        name,
        "label",
        record.annotation.label,
        "frames",
        record.num_frames,
        "features",
        store.read(name).shape,
    )

# %% [markdown]
# ## Training
#
# A batch holds as many normal as abnormal bags of `segments` segments. The optimizer is a function
# of the parameters, as a recipe names it; the learning rate belongs to it.

# %%
from functools import partial

from lightning.pytorch import Trainer, seed_everything
from torch.optim import Adagrad

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.methods import Sultani

seed_everything(0, verbose=False)
data = WSVADDataModule(str(path), batch_size=6, segments=16, normalize="zscore")
model = Sultani(feature_dim=16, optimizer=partial(Adagrad, lr=0.01))
quiet = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
trainer = Trainer(accelerator="cpu", max_steps=steps, use_distributed_sampler=False, **quiet)
trainer.fit(model, data)

# %% [markdown]
# ## Scores and metrics
#
# `test` scores the test videos at their full length, and measures against the labels of their
# frames.

# %%
trainer.test(model, data, verbose=False)
for name, value in model.evaluation.results().items():
    print(f"{name:20} {value:.3f}")

# %%
import matplotlib.pyplot as plt
import numpy as np

predictions = [one for batch in trainer.predict(model, data) for one in batch]
figure, axes = plt.subplots(2, 4, figsize=(12, 4), sharey=True, layout="constrained")
tested = [one for one in predictions if one.video_id.startswith("test_")]
for axis, one in zip(axes.flat, tested, strict=False):  # the first eight
    axis.step(grid.stride * np.arange(len(one.scores)), one.scores, where="post")
    for first, last in store[one.video_id].annotation.intervals or ():
        axis.axvspan(first, last, color="tab:red", alpha=0.2)
    axis.set(title=one.video_id, ylim=(0, 1))
figure.savefig("scores.png")
