"""Libraries that not everybody installs."""

import importlib
from typing import Any

from expand_and_cluster.core.errors import EacError


def need(package: str, extra: str, wanted_by: str = "this") -> Any:
    """Import a library that comes with an extra.

    Args:
        package: Its module.
        extra: The extra that installs it.
        wanted_by: What needs it, as the sentence begins.

    Raises:
        EacError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise EacError(
            f"{wanted_by} needs the package {package}, which is not installed; run "
            f"pip install 'expand-and-cluster[{extra}]'."
        ) from error
