"""Explains a failure of the Hugging Face hub in one line."""

from __future__ import annotations

from raykd.errors import first_line

TIMEOUT = 10.0  # seconds; requests are not retried


def reason(error: Exception) -> str:
    """The reason for an error raised by the hub client, or by `datasets` through it."""
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            return "it is gated: accept its terms on its page, and log in with `hf auth login`"
        case errors.RepositoryNotFoundError():
            return "there is none of this name, or it is private: log in with `hf auth login`"
        case errors.RevisionNotFoundError():
            return "it has no such revision"
    return first_line(error)
