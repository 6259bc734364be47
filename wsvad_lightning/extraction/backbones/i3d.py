"""What I3D saw when the feature sets of this field were made: crops of frames of one fixed size.

Source: ``extract_features.py`` of GowthamGottimukkala/I3D_Feature_Extraction_resnet (RTFM's features), which
has it from Finspire13/pytorch-i3d-feature-extraction (Inception).
"""

import numpy as np
import torch
from torch import Tensor

from wsvad_lightning.video.views import View, view_images

WIDTH, HEIGHT = 340, 256  # whatever the aspect of the video
CROP_SIZE = 224
CLIP_LENGTH = 16
PREPROCESSING = "340x256 by Lanczos, crops of 224, scaled to -1..1"  # as stores record it


def resize_frames(frames: Tensor) -> Tensor:
    """Resize ``[K, 3, H, W]`` uint8 frames to ``[K, 3, 256, 340]`` with Pillow's Lanczos filter."""
    from PIL import Image

    size, filter_ = (WIDTH, HEIGHT), Image.Resampling.LANCZOS
    pictures = (Image.fromarray(frame).resize(size, filter_) for frame in frames.permute(0, 2, 3, 1).numpy())
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)


def crop_frames(frames: Tensor, *, views: tuple[View, ...]) -> Tensor:
    """Images ``[K, N, 3, 224, 224]`` uint8 of ``[K, 3, H, W]`` uint8 frames of any size.

    The crops have this size by themselves; other views are resized to it.
    """
    return view_images(resize_frames(frames), views, CROP_SIZE)


def scale_clips(clips: Tensor) -> Tensor:
    """Clips ``[B, T, 3, H, W]`` in 0..255 as the networks take them: ``[B, 3, T, H, W]`` in -1..1.

    Channels lie last in memory: on a CPU the networks are then up to a third faster.
    """
    scaled = clips.transpose(1, 2) * (2 / 255) - 1
    return scaled.contiguous(memory_format=torch.channels_last_3d)
