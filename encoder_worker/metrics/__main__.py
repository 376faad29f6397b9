"""`python -m encoder_worker.metrics`: the worker's part of docs/observability.md."""

from __future__ import annotations

import sys

from encoder_worker.metrics.catalogue import METRICS
from shared.observe.metric import metrics_table

if __name__ == "__main__":
    sys.stdout.write(metrics_table(METRICS))
