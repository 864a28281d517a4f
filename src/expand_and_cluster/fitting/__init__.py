"""Step 2: make networks imitate pairs; knows nothing of clusters."""

from expand_and_cluster.fitting.result import Fit, StopReason

__all__ = ["Fit", "StopReason"]
