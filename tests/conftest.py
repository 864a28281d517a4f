"""Checks every type and shape annotation of the library while the tests run."""

import jaxtyping
import pytest

# Before any test module imports the package: what is already imported is not checked.
jaxtyping.install_import_hook("expand_and_cluster", "beartype.beartype")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls go through unchecked, as they do for users.

    For tests of bad input: the library's own sentence is wanted, not the type checker's.
    """
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
