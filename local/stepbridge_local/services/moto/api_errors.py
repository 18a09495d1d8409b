"""API errors, raised inside moto's handlers."""

from __future__ import annotations

from moto.core.exceptions import ServiceException

__all__ = ["ApiError"]


class ApiError(ServiceException):
    """An AWS error with a code and a message: ``ApiError("InvalidName", "Invalid Name: 'x'")``.

    moto looks for an error's shape in the service model of the package that defines its class. So it fails for its own
    ServiceException, whose package is not a service. It looks for classes from outside moto in the called service.
    """
