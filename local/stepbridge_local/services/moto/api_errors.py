"""API errors, raised inside moto's handlers."""

from __future__ import annotations

from moto.core.exceptions import ServiceException

__all__ = ["ApiError"]


class ApiError(ServiceException):
    """An AWS error with a code and a message: ``ApiError("InvalidName", "Invalid Name: 'x'")``.

    moto looks for an error's shape in the service model of the package that defines its class, and fails for its own
    ServiceException, whose package is no service. Classes from outside moto it looks up in the service being called.
    """
