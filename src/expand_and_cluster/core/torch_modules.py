"""PyTorch modules for the catalogue's activations; imported only where PyTorch is installed."""

from collections.abc import Sequence

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.activations import LEAK

# PyTorch's softplus returns its input above a threshold. Its default, 20, costs 2e-9; at 40 the
# difference is below the rounding of double precision.
THRESHOLD = 40.0


class G(nn.Module):
    """`softplus(z) + sigmoid(4 z)`: the paper's activation without symmetries."""

    def forward(self, z: Tensor) -> Tensor:
        """Apply it elementwise."""
        return nn.functional.softplus(z, threshold=THRESHOLD) + torch.sigmoid(4.0 * z)


class Mish(nn.Module):
    """`z tanh(softplus(z))`; PyTorch's own has the default threshold inside."""

    def forward(self, z: Tensor) -> Tensor:
        """Apply it elementwise."""
        return z * torch.tanh(nn.functional.softplus(z, threshold=THRESHOLD))


class WithSkip(nn.Module):
    """A network plus an affine map of its input."""

    def __init__(self, network: nn.Module, skip: nn.Module) -> None:
        """Keep both parts."""
        super().__init__()
        self.network = network
        self.skip = skip

    def forward(self, inputs: Tensor) -> Tensor:
        """The sum of both parts."""
        return self.network(inputs) + self.skip(inputs)


class Mixture(nn.Module):
    """Neurons, along the last axis, with activations of their own."""

    def __init__(self, kinds: Sequence[Activation]) -> None:
        """Keep a module for each kind, and which neurons have it."""
        super().__init__()
        for index, kind in enumerate(dict.fromkeys(kinds)):
            self.add_module(f"kind_{index}", activation_module(kind))
            self.register_buffer(f"own_{index}", torch.tensor([each == kind for each in kinds]))

    def forward(self, z: Tensor) -> Tensor:
        """Each kind on all neurons, and only its own kept."""
        parts = zip(self.buffers(), self.children(), strict=True)
        return torch.stack([torch.where(own, kind(z), 0.0) for own, kind in parts]).sum(dim=0)


def activation_module(activation: Activation) -> nn.Module:
    """The module for an activation of the catalogue, or for a mixture of some."""
    if activation.kinds:
        return Mixture(activation.kinds)
    return {
        "g": G,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "softplus": lambda: nn.Softplus(threshold=THRESHOLD),
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(LEAK),
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "mish": Mish,
        "selu": nn.SELU,
        "elu": nn.ELU,
    }[activation.name]()
