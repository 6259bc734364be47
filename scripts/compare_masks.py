"""Compare the masks of SVMAE's pre-training: ``python scripts/compare_masks.py --help``."""

from jsonargparse import auto_cli

from wsvad_lightning.demo.masks import compare_masks

if __name__ == "__main__":
    auto_cli(compare_masks)
