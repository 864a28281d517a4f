"""Collections fetched from OpenML by scikit-learn, which keeps them in its own cache."""

from http.client import HTTPException
from importlib.util import find_spec

import numpy as np

from expand_and_cluster.core.errors import EacError

Part = tuple[np.ndarray, np.ndarray]


def fetch(collection: str, version: int, train: int, advice: str) -> tuple[Part, Part]:
    """(images, labels) of the training and test part, pixels from 0 to 255.

    Args:
        collection: Name at OpenML.
        version: Version at OpenML.
        train: How many rows from the first on are the training part.
        advice: What to do if the collection is out of reach, as the end of a sentence.

    Raises:
        EacError: It is neither in scikit-learn's cache nor within reach.
    """
    from sklearn.datasets import fetch_openml

    try:
        images, labels = fetch_openml(
            collection,
            version=version,
            return_X_y=True,
            as_frame=False,
            # Pandas reads these files much faster, but is not needed.
            parser="pandas" if find_spec("pandas") else "liac-arff",
            n_retries=1,
        )
    except (OSError, HTTPException, ValueError) as error:
        raise EacError(f"{collection} could not be fetched ({error}); {advice}") from error
    images = np.asarray(images)
    labels = np.asarray(labels).astype(np.int64)
    return (images[:train], labels[:train]), (images[train:], labels[train:])
