"""What an execution did: the run report, its timeline, and the text about its failure.

Pure: the input is boto3's responses as they are, and ``now`` is the time.
"""

from stepbridge.core.run_report.build import build_run_report
from stepbridge.core.run_report.cost import PricesError, cost_of, parse_prices
from stepbridge.core.run_report.failure_text import failure_text, output_remedy, silence, without_log
from stepbridge.core.run_report.history import job_names, parsed_object
from stepbridge.core.run_report.log_lines import key_lines, shown
from stepbridge.core.run_report.model import NOT_STARTED, UNKNOWN, Listing, ObjectReport, RunReport, StageReport
from stepbridge.core.run_report.objects import LISTED_OBJECTS, RowCounter, counts_rows, listing
from stepbridge.core.run_report.timeline import duration, figures, timeline

__all__ = [
    "LISTED_OBJECTS",
    "NOT_STARTED",
    "UNKNOWN",
    "Listing",
    "ObjectReport",
    "PricesError",
    "RowCounter",
    "RunReport",
    "StageReport",
    "build_run_report",
    "cost_of",
    "counts_rows",
    "duration",
    "failure_text",
    "figures",
    "job_names",
    "key_lines",
    "listing",
    "output_remedy",
    "parse_prices",
    "parsed_object",
    "shown",
    "silence",
    "timeline",
    "without_log",
]
