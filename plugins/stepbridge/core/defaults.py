"""The defaults and bounds of what card, form and execution input share, each written here once.

The docs' tables are made from them, and a test compares the state machine's defaults with them. Bounds are those of
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html.
"""

from typing import Final, NamedTuple

DEFAULT_INSTANCE_TYPE: Final = "ml.m5.large"
DEFAULT_VOLUME_SIZE_GB: Final = 30
DEFAULT_MAX_RUNTIME_SECONDS: Final = 3600

STAGE_TIMEOUT_MARGIN_SECONDS: Final = 3600
"""What the state machine gives a stage beyond max_runtime, for starting its job and for stopping it."""


class Bounds(NamedTuple):
    """The smallest and the largest value."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


VOLUME_SIZE_GB: Final = Bounds(1, 16384)
MAX_RUNTIME_SECONDS: Final = Bounds(1, 9 * 24 * 3600)
LONGEST_RUN_SECONDS: Final = 31 * 24 * 3600
RETRY_SECONDS: Final = Bounds(1, 24 * 3600)  # Airflow's max_task_retry_delay is a day
