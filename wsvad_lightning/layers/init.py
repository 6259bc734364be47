"""How the RTFM family initialises its layers."""

import torch
from torch import nn


def init_xavier(module: nn.Module) -> None:
    """Draw every convolution and linear layer inside from Xavier's uniform distribution, biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            drawn = torch.empty_like(layer.weight, memory_format=torch.contiguous_format)
            with torch.no_grad():
                layer.weight.copy_(nn.init.xavier_uniform_(drawn))  # the same draws in every memory layout
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
