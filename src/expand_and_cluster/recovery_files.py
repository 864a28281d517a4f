"""A recovery as a folder of three files."""

import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jax import Array
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from expand_and_cluster.activation_choice import ActivationChoice
from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.checkpoint import write_atomically
from expand_and_cluster.core.errors import FileFormatError
from expand_and_cluster.core.files import load_network, save_network
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.strict_json import dumps, loads
from expand_and_cluster.recovery import (
    Clustering,
    ExpansionCurve,
    LossCurves,
    NeuronRecord,
    Recovery,
    Rejection,
    Verdict,
)

FORMAT = 1
NETWORK_FILE = "network.safetensors"
RECORD_FILE = "recovery.json"
EVIDENCE_FILE = "evidence.safetensors"
PACKAGES = ("expand-and-cluster", "numpy", "scipy", "jax", "jaxlib", "equinox", "optax", "diffrax")


def versions() -> dict[str, str]:
    """Versions of Python, of the machine's system and of the packages that compute."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def save_recovery(recovery: Recovery, folder: str | PathLike[str]) -> None:
    """Write a recovery; see `Recovery.save`."""
    place = Path(folder)
    # First of an older recovery, and last of this one: without it there is none in the folder.
    (place / RECORD_FILE).unlink(missing_ok=True)
    save_network(recovery.network, place / NETWORK_FILE, by_name=True)
    tensors = {name: np.array(array, order="C") for name, array in _arrays(recovery).items()}
    write_atomically(place / EVIDENCE_FILE, save_tensors(tensors))
    write_atomically(place / RECORD_FILE, dumps(_record(recovery), indent=2).encode())


def load_recovery(
    folder: str | PathLike[str],
    activation: str | Callable[[Array], Array] | Activation | None = None,
) -> Recovery:
    """Read a recovery; see `expand_and_cluster.recovery.load`."""
    place = Path(folder)
    try:
        record = loads((place / RECORD_FILE).read_bytes())
        arrays = load_tensors((place / EVIDENCE_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileFormatError(
            f"{place} holds no finished recovery ({Path(str(error.filename)).name} is missing)."
        ) from error
    except (ValueError, SafetensorError) as error:
        raise FileFormatError(
            f"{place} holds a damaged recovery ({error}); save it again."
        ) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise FileFormatError(
            f"{place / RECORD_FILE} is not a recovery of format {FORMAT}; it was written by "
            "another program or another version of this library."
        )
    network = load_network(place / NETWORK_FILE, activation)
    try:
        if list(network.widths) != record["widths"]:
            raise FileFormatError(
                f"{place} holds a network of widths {list(network.widths)} and the record of one "
                f"of {record['widths']}; save it again."
            )
        return _rebuild(network, record, arrays)
    except (KeyError, TypeError) as error:
        raise FileFormatError(
            f"{place} holds a damaged recovery ({error!r} is missing or wrong)."
        ) from error


def _record(recovery: Recovery) -> dict[str, Any]:
    expansion, clustering = recovery.expansion, recovery.clustering
    return {
        "format": FORMAT,
        "widths": recovery.network.widths,
        "activation": recovery.network.activation.name,
        "verdict": vars(recovery.verdict),
        "queries": recovery.queries,
        "seconds": recovery.seconds,
        "settings": recovery.settings,
        "neurons": [vars(neuron) for neuron in recovery.neurons],
        "rejected": [vars(item) for item in recovery.rejected],
        "stops": recovery.curves.codes,
        "expansion": expansion and {"criterion": expansion.criterion, "chosen": expansion.chosen},
        "clustering": clustering and {"height": clustering.height},
        "activations": recovery.activations and asdict(recovery.activations),
        "versions": versions(),
    }


def _arrays(recovery: Recovery) -> dict[str, np.ndarray]:
    curves, expansion, clustering = recovery.curves, recovery.expansion, recovery.clustering
    found = {
        "masked_inputs": recovery.masked_inputs,
        "held_inputs": recovery.held_inputs,
        "curves.steps": curves.steps,
        "curves.losses": curves.losses,
        "curves.held_out": curves.held_out,
    }
    if expansion is not None:
        found |= {"expansion.widths": expansion.widths, "expansion.losses": expansion.losses}
    if clustering is not None:
        found |= {
            f"clustering.{name}": getattr(clustering, name)
            for name in ("vectors", "students", "tree", "labels", "angles")
        }
    if recovery.standard_errors is not None:
        for index, layer in enumerate(recovery.standard_errors.layers):
            found[f"standard_errors.{index}.weight"] = np.asarray(layer.weight)
            found[f"standard_errors.{index}.bias"] = np.asarray(layer.bias)
    return found


def _standard_errors(network: Network, arrays: dict[str, np.ndarray]) -> Network | None:
    if not arrays:
        return None
    count = len(network.layers)
    layers = tuple(Layer(arrays[f"{i}.weight"], arrays[f"{i}.bias"]) for i in range(count))
    return network.replace(layers=layers, skip=None)


def _rebuild(network: Network, record: dict[str, Any], arrays: dict[str, np.ndarray]) -> Recovery:
    def group(name: str) -> dict[str, np.ndarray]:
        start = f"{name}."
        return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}

    verdict, expansion, clustering = (record[k] for k in ("verdict", "expansion", "clustering"))
    named = record.get("activations")
    return Recovery(
        network=network,
        verdict=Verdict(**{**verdict, "reasons": tuple(verdict["reasons"])}),
        neurons=tuple(_neuron(item) for item in record["neurons"]),
        queries=record["queries"],
        seconds=record["seconds"],
        settings=record["settings"],
        rejected=tuple(Rejection(**item) for item in record["rejected"]),
        masked_inputs=arrays["masked_inputs"],
        held_inputs=arrays["held_inputs"],
        curves=LossCurves(**group("curves"), codes=tuple(record["stops"])),
        expansion=expansion and ExpansionCurve(**group("expansion"), **expansion),
        clustering=clustering and Clustering(**group("clustering"), **clustering),
        standard_errors=_standard_errors(network, group("standard_errors")),
        activations=named and ActivationChoice.from_json(named),
    )


def _neuron(item: dict[str, Any]) -> NeuronRecord:
    lists = {name: tuple(item[name]) for name in ("students", "unidentifiable")}
    return NeuronRecord(**{**item, **lists})
