"""`python -m prompt_api.metrics` prints the table of the API's metrics for docs/observability.md."""

from __future__ import annotations

import sys

from prompt_api.metrics.catalogue import METRICS
from shared.observe.metric import metrics_table

if __name__ == "__main__":
    sys.stdout.write(metrics_table(METRICS))
