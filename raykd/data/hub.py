"""Explains a failure of the Hugging Face hub in one line."""

from __future__ import annotations

from collections.abc import Iterator

from raykd.errors import first_line

TIMEOUT = 10.0  # seconds; requests are not retried
# `datasets` raises one class for these, and drops the error of the hub client.
GATED, SCRIPT = "is a gated dataset on the Hub", "Dataset scripts are no longer supported"
LOG_IN = "it is gated: accept its terms on its page, and log in with `hf auth login`"


def reason(error: Exception) -> str:
    """The reason for an error raised by the hub client, or by `datasets` through it."""
    from huggingface_hub import constants, errors

    for cause in _causes(error):
        match cause:
            case errors.GatedRepoError():
                return LOG_IN
            case errors.RepositoryNotFoundError():
                return "there is none of this name, or it is private: log in with `hf auth login`"
            case errors.RevisionNotFoundError():
                return "it has no such revision"
            case errors.HfHubHTTPError() if (
                answer := getattr(cause, "response", None)
            ) is not None:
                wait = ": wait, or log in with `hf auth login`" if answer.status_code == 429 else ""
                return f"it answers {answer.status_code} {answer.reason_phrase}{wait}"
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and it was not downloaded before: unset that for once"
    if GATED in str(error):
        return LOG_IN
    if SCRIPT in str(error):
        return (
            "it is a script, which is not run: write `revision: refs/convert/parquet` for the "
            "hub's own copy of the rows"
        )
    return first_line(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
