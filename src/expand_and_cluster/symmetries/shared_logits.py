"""What a softmax hides: a number for each input, added to all logits."""

from expand_and_cluster.core.network import Layer, Network


def centre_outputs(network: Network) -> Network:
    """The network whose outputs are centred: their mean over the classes is taken away.

    A softmax gives the same probabilities. Networks recovered from probabilities come in this
    form; bring a teacher to it before weights are compared.

    Args:
        network: Any network with at least two outputs; one output is returned as it is.
    """
    if network.output_size == 1:
        return network
    last, skip = network.layers[-1], network.skip
    return network.replace(
        layers=(*network.layers[:-1], _centred(last)),
        skip=None if skip is None else _centred(skip),
    )


def _centred(layer: Layer) -> Layer:
    return Layer(
        layer.weight - layer.weight.mean(axis=-2, keepdims=True),
        layer.bias - layer.bias.mean(axis=-1, keepdims=True),
    )
