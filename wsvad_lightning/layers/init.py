"""How the RTFM family initialises its layers."""

from torch import nn


def init_xavier(module: nn.Module) -> None:
    """Draw every convolution and linear layer inside from Xavier's uniform distribution, biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
