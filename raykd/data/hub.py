"""Why the hub did not give something, in a line that a person can act on."""

from __future__ import annotations

from raykd.errors import first_line

TIMEOUT = 10.0  # seconds for a question that is asked once


def reason(error: Exception) -> str:
    """Of what its client, or `datasets` through it, has raised."""
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            return "it is gated: accept its terms on its page, and log in with `hf auth login`"
        case errors.RepositoryNotFoundError():
            return "there is none of this name, or it is private: log in with `hf auth login`"
        case errors.RevisionNotFoundError():
            return "it has no such revision"
    return first_line(error)
