"""MLflow: the only ledger of a sweep's trials.

Only `MlflowClient` is used, with explicit parents: no active runs, no global tracking address.
"""

import logging
import os

# MLflow reads these at import. If it is imported already, the logging levels below still apply.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Four attempts within about twelve seconds instead of MLflow's eight in four minutes: raykd waits
# longer by itself (store.patiently, outbox).
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)
