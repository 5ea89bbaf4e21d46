"""MLflow: the one ledger of a sweep's trials.

Only `MlflowClient` is used, with explicit parents: no active runs, no global tracking address.
"""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)
