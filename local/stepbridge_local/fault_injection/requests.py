"""The faults of API requests: throttling, latency, an error, a closed connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from stepbridge_local.fault_injection.aws_rates import aws_rate
from stepbridge_local.fault_injection.chance import Chance
from stepbridge_local.fault_injection.faults import ConnectionFault, ErrorFault, LatencyFault, ThrottlingFault
from stepbridge_local.fault_injection.token_bucket import Buckets, Rate
from stepbridge_local.protocols import Scope, ServiceError

__all__ = ["UNAFFECTED", "RequestEffect", "RequestFaults"]

RequestFault = ErrorFault | ConnectionFault | LatencyFault

# By HTTP status, for most services and for S3.
_CODES: Final = {500: "InternalFailure", 503: "ServiceUnavailable", 504: "GatewayTimeout", 400: "BadRequest"}
_S3_CODES: Final = {500: "InternalError", 503: "SlowDown", 400: "RequestTimeout"}
_MESSAGES: Final = {
    500: "The request processing has failed because of an unknown error, exception or failure.",
    503: "The request has failed due to a temporary failure of the server.",
}
_S3_MESSAGES: Final = {
    500: "We encountered an internal error. Please try again.",
    503: "Please reduce your request rate.",
}


@dataclass(frozen=True)
class RequestEffect:
    """What happens to one request, in this order. ``error`` is its answer, whether it is carried out or not."""

    delay_seconds: float = 0.0
    error: ServiceError | None = None
    is_dropped: bool = False
    is_carried_out: bool = True


UNAFFECTED: Final = RequestEffect()


class RequestFaults:
    """The faults that concern requests. ``operation`` is as IAM names it: ``states:StartExecution``."""

    def __init__(
        self, throttling: ThrottlingFault | None, rules: Sequence[tuple[RequestFault, Chance]], buckets: Buckets
    ) -> None:
        self.throttling = throttling
        self.buckets = buckets
        self._rules = rules

    def check(self, operation: str, scope: Scope) -> None:
        """Raise the ServiceError that a call of one service by another gets, if any.

        Throttling and errors before the operation apply to it; latency and closed connections do not.
        """
        for rule, chance in self._rules:
            if isinstance(rule, ErrorFault) and rule.when == "before" and _concerns(rule, operation, chance):
                error = _end(rule, operation.partition(":")[0]).error
                assert error is not None
                raise error
        self._throttle(operation, scope)

    def effect_on(self, operation: str, scope: Scope) -> RequestEffect:
        """What happens to the request; counts as one candidate of every rule that concerns its operation."""
        delay = 0.0
        end: RequestEffect | None = None
        for rule, chance in self._rules:
            if not _concerns(rule, operation, chance):
                continue
            if isinstance(rule, LatencyFault):
                delay += rule.seconds + chance.spread(rule.jitter_seconds)
            elif end is None:
                end = _end(rule, operation.partition(":")[0])
        try:
            self._throttle(operation, scope)
        except ServiceError as error:
            return RequestEffect(delay, error, is_carried_out=False)
        if end is None:
            return RequestEffect(delay) if delay else UNAFFECTED
        return RequestEffect(delay, end.error, end.is_dropped, end.is_carried_out)

    def _throttle(self, operation: str, scope: Scope) -> None:
        """Raise ServiceError ThrottlingException if the account is above its rate for the operation."""
        rate = self._rate(operation, scope.region)
        if rate is not None and not self.buckets.take((scope, operation), rate):
            raise ServiceError("ThrottlingException", "Rate exceeded")

    def _rate(self, operation: str, region: str) -> Rate | None:
        if self.throttling is None:
            return None
        own = self.throttling.rates.get(operation)
        if own is not None:
            return Rate(own.bucket, own.refill_per_second)
        return aws_rate(operation, region) if self.throttling.aws else None


def _concerns(rule: RequestFault, operation: str, chance: Chance) -> bool:
    return any(fnmatchcase(operation, pattern) for pattern in rule.operations) and chance.strike()


def _end(rule: ErrorFault | ConnectionFault, service: str) -> RequestEffect:
    carried_out = rule.when == "after"
    if isinstance(rule, ConnectionFault):
        return RequestEffect(is_dropped=True, is_carried_out=carried_out)
    codes, messages = (_S3_CODES, _S3_MESSAGES) if service == "s3" else (_CODES, _MESSAGES)
    code = rule.code or codes.get(rule.status, "InternalFailure" if rule.status >= 500 else "BadRequest")
    message = rule.message or messages.get(
        rule.status, f"A fault that was injected into the local AWS answers {rule.status}."
    )
    return RequestEffect(error=ServiceError(code, message, rule.status), is_carried_out=carried_out)
