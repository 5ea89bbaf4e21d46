"""MLflow: the one ledger of a sweep's trials.

Only `MlflowClient` is used, with explicit parents: no active runs, no global tracking address.
"""

import logging
import os

# MLflow reads these when it is imported; where that has happened already, the levels still count.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Four attempts within some twelve seconds, where MLflow makes eight in four minutes: what waits
# longer is ours (store.patiently, spool).
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)
