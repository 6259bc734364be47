from pathlib import Path

import torch
from lightning.pytorch import Trainer

from wsvad_lightning.runs.checkpoints import BestOnVal


def test_a_later_equal_is_kept_a_worse_one_is_not(tmp_path: Path) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    callback = BestOnVal()
    assert callback.check_monitor_top_k(trainer, torch.tensor(0.5))
    callback.best_k_models = {"best.ckpt": torch.tensor(0.75)}
    callback.kth_best_model_path, callback.best_model_score = "best.ckpt", torch.tensor(0.75)
    kept = [callback.check_monitor_top_k(trainer, torch.tensor(auc)) for auc in (0.5, 0.75, 1.0)]
    assert kept == [False, True, True]
    assert not callback.check_monitor_top_k(trainer, None)
