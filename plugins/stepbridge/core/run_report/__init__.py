"""What an execution did: the run report, its timeline, and its failure in words.

Pure: boto3's answers come in as they are, and ``now`` stands for the clock.
"""

from stepbridge.core.run_report.build import build_run_report
from stepbridge.core.run_report.failure import failure_text
from stepbridge.core.run_report.history import job_names
from stepbridge.core.run_report.model import NOT_STARTED, UNKNOWN, JobReport, RunReport, StageReport
from stepbridge.core.run_report.remedies import remedy_for
from stepbridge.core.run_report.timeline import duration, timeline

__all__ = [
    "NOT_STARTED",
    "UNKNOWN",
    "JobReport",
    "RunReport",
    "StageReport",
    "build_run_report",
    "duration",
    "failure_text",
    "job_names",
    "remedy_for",
    "timeline",
]
