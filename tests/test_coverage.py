"""The page that answers every switch of five systems names settings and commands that exist."""

import inspect
import re
from functools import cache
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from tests.test_docs import SPAN, help_of, is_listed
from wsvad_lightning import methods
from wsvad_lightning.carried import constructor
from wsvad_lightning.cli import COMMANDS
from wsvad_lightning.configs import config_folder
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.methods.base.training import TrainingModule

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
NOT = "by design not"
SWITCHES = {  # of the authors' option files
    "ADPLG-VAD": (
        "root_dir modal model_path model_file lr_v lr_s batch_size num_workers num_segments len_feature "
        "seed ls_s_w ls_v_w ls_tri_w ls_cos_w ls_sp_w ls_sm_w warm_up thre_pesudo_a thre_var_a "
        "pl_his_num sch_step_s sch_gamma_s layer_ts law1 law2 law3 law4 ID gpus"
    ),
    "FRD-UVAD": (
        "device lr pretrain pretrained_ckpt testing_path testing_model batch_size Lambda seed max_seqlen "
        "max_epoch lab lab_type beta delta dataset_name dataset_path feature_modal "
        "feature_pretrain_model Vitblock_num cross_clip feature_size plot snapshot label_type"
    ),
    "SSRL": (
        "local_rank data_dir feature_size lr batch_size workers model_name pretrained_ckpt dataset "
        "max_epoch seed num_segments checkpoint last_stage_ckpt save_dir patch_mode train_part "
        "multi_patch_mode multi_patch_size"
    ),
    "SVMAE": (
        "exp-name use_dic_gt abn_curve_save_root dataset sampling feature-group fusion feat-extractor "
        "feature-size feat-extractor-B feature-size-B caption-extractor emb_dim rgb-list test-rgb-list "
        "vis_feature_path_B_folder copy2SSD_path gt gpus lr batch-size workers model-name pretrained-model "
        "num-classes plot-freq plot-best seed max-epoch normal_weight abnormal_weight "
        "aggregate_text extra_loss save_test_results alpha emb_folder"
    ),
    "SST-WSVADL": (
        "output_path root_dir log_path model_path video_root feature_root test_file pretrained_path "
        "model_file dataset modal num_segments len_feature subset i3d clip_features "
        "xdviolence_random_sampling lr batch_size num_workers num_epochs seed device pretrained_point "
        "resize patch_size num_tubelet segment_length token_ratio disable_pruning soft_pruning "
        "cross_attention random_top multi_k k second_topk rgb_thermal_fusion motion_loss "
        "motion_loss_weight motion_aware_type debug exp_num"
    ),
    "DSANet": "DNP_use prompt-prefix prompt-postfix embed-dim",  # what its page notes
}


@cache
def section(system: str) -> str:
    return re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1 + [*SWITCHES].index(system)]


def rows(system: str) -> list[tuple[str, str, str]]:
    """Switch, setting and note of every row."""
    return re.findall(r"^\| `([\w-]+)` \| (.*?) \| ?(.*?) ?\|$", section(system), re.MULTILINE)


def method_of(system: str) -> type[TrainingModule]:
    (name,) = re.findall(r"the method \[`(\w+)`\]", section(system))
    (found,) = [getattr(methods, one) for one in methods.__all__ if one.lower() == name]
    return found  # type: ignore[no-any-return]


def exists(named: str, method: type[TrainingModule]) -> bool:
    """Whether a setting, an option or a command is there."""
    first, _, rest = named.partition(".")
    if first == "model":
        setting, _, part = rest.partition(".")
        known = setting in constructor(method)
        return known and (not part or part in method.default_loss_weights)
    if first == "data":
        return rest in constructor(WSVADDataModule)
    if first == "trainer":
        return rest in inspect.signature(Trainer).parameters
    if named.startswith("wsvad "):
        command, _, option = named.removeprefix("wsvad ").partition(" ")
        return command in COMMANDS and (not option or is_listed(option, help_of(command)))
    if named.endswith(".yaml"):
        return (config_folder() / named).is_file()
    return is_listed(named if named.startswith("--") else f"--{named}", help_of("fit"))


@pytest.mark.parametrize("system", SWITCHES)
def test_every_switch_is_answered(system: str) -> None:
    assert section(system).startswith(f"{system}\n")
    assert [switch for switch, _, _ in rows(system)] == SWITCHES[system].split()
    method, wrong = method_of(system), []
    for switch, answer, note in rows(system):
        named = SPAN.findall(answer)
        there = answer == NOT and note if not named else exists(named[0], method) and len(named) == 1
        more = [span for span in SPAN.findall(note) if re.match(r"(model|data|trainer)\.|wsvad |--", span)]
        if not there or not all(exists(span, method) for span in more):
            wrong.append(switch)
    assert wrong == []


def test_settings_that_do_not_exist_are_found() -> None:
    for named in ("model.window", "model.loss_weights.vd", "data.gt", "trainer.step", "--nam", "wsvad tset"):
        assert not exists(named, methods.ADPLG), named
    for named in (
        "model.windows",
        "model.loss_weights.vc",
        "seed_everything",
        "wsvad extract --snippet_stride",
    ):
        assert exists(named, methods.ADPLG), named
