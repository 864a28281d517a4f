"""Pictures that explain a network: its neurons by type, and how it reduces."""

from pathlib import Path

import numpy as np

from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.reduce import Reduction
from expand_and_cluster.report import style
from expand_and_cluster.report.reduction import draw_reduction
from expand_and_cluster.report.similarity import draw_similarity
from expand_and_cluster.report.types import draw_neuron_types
from expand_and_cluster.symmetries.classify import Classification


def write_explanation(
    folder: Path,
    network: Network,
    inputs: np.ndarray,
    classification: Classification,
    reduction: Reduction,
) -> list[Path]:
    """Write one table of types for every hidden layer, and how the network reduces.

    The steps of the reduction are drawn for two inputs and one hidden layer. Otherwise the
    similarity of the neurons is, ordered by group, one picture for each hidden layer.

    Args:
        folder: Where to write.
        network: The network that was classified and reduced.
        inputs: (samples, input_size) on which that was done.
        classification: What `classify` says of it.
        reduction: What `reduce` made of it.

    Returns:
        The files written.
    """
    written = []
    hidden = len(network.layers) - 1
    flat = network.input_size == 2 and hidden == 1
    for layer in range(hidden):
        name = f"-{layer}" if hidden > 1 else ""
        into, out = network.layers[layer], network.layers[layer + 1]
        vectors = np.column_stack([into.weight, into.bias])
        neurons = [neuron for neuron in classification.neurons if neuron.layer == layer]
        table = draw_neuron_types(vectors, np.asarray(out.weight).T, neurons)
        written.append(style.save(table, folder / f"types{name}.png"))
        if not flat:
            matrix = draw_similarity(
                vectors,
                np.array([neuron.group for neuron in neurons]),
                sign_free=network.activation.symmetry.flip is not None,
                noun="group",
            )
            written.append(style.save(matrix, folder / f"similarity{name}.png"))
    if flat:
        steps = draw_reduction(network, reduction, inputs)
        written.append(style.save(steps, folder / "reduction.png"))
    return written
