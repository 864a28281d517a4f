import matplotlib as mpl
import pytest

from expand_and_cluster.report import style


@pytest.fixture(autouse=True)
def _matplotlib_untouched():
    """No picture may change what the user has set."""
    # `dict.items`, for Matplotlib's own would settle on a back end and load pyplot.
    before = dict(dict.items(mpl.rcParams))
    yield
    assert dict(dict.items(mpl.rcParams)) == before


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch):
    """Fewer pixels, where only warnings and errors matter."""
    monkeypatch.setattr(style, "DOTS_PER_INCH", 40)
