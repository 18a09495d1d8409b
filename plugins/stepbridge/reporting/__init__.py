"""Gathers from AWS what a run report needs, and writes the report. Knows nothing of Airflow."""

from stepbridge.reporting.run_report import Services, gather_report, last_log_lines, write_report

__all__ = ["Services", "gather_report", "last_log_lines", "write_report"]
