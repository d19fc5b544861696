"""Why a request is not answered, as text-embeddings-inference tells it."""

from __future__ import annotations

from typing import Any


class RequestError(Exception):
    """A request that is refused or fails.

    Attributes:
        status: of HTTP.
        error_type: "Validation", "Tokenizer", "Overloaded", "Backend" or "Unhealthy".
        message: for the client; it may have its texts in it, and is not logged.
        retry_after: seconds after which the client may try again.
    """

    def __init__(self, status: int, error_type: str, message: str, retry_after: int | None = None):
        self.status, self.error_type, self.message, self.retry_after = status, error_type, message, retry_after
        super().__init__(message)

    @property
    def headers(self) -> dict[str, str]:
        """Those of the response."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return {**found, "WWW-Authenticate": "Bearer"} if self.status == 401 else found

    def content(self, openai: bool) -> dict[str, Any]:
        """The body of the response."""
        if openai:
            return {"error": {"message": self.message, "type": self.error_type, "code": self.status}}
        return {"error": self.message, "error_type": self.error_type}


def invalid(message: str) -> RequestError:
    """The body is not what the route takes."""
    return RequestError(422, "Validation", message)


def too_large(message: str) -> RequestError:
    """More, or longer, than is taken."""
    return RequestError(413, "Validation", message)


def overloaded(message: str) -> RequestError:
    """Too many requests at once."""
    return RequestError(429, "Overloaded", message, retry_after=1)


def inference_failed(message: str) -> RequestError:
    """The model cannot answer such a request, or failed."""
    return RequestError(424, "Backend", message)
