"""The text about a failed execution: what a failed task writes into its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from stepbridge.core.failures import remedy_for
from stepbridge.core.run_report.history import parsed_object
from stepbridge.core.run_report.model import NOT_STARTED, RunReport, StageReport
from stepbridge.core.run_report.timeline import duration

__all__ = ["failure_text", "traceback_of"]

LOG_LINES: Final = 50
CAUSE_LENGTH: Final = 1500
STREAM_MARK: Final = "--- algo-"
TRACEBACK_MARK: Final = "Traceback (most recent call last):"


def failure_text(
    report: RunReport, log_lines: Mapping[str, Sequence[str]], links: Mapping[str, str] | None = None
) -> str:
    """The stage, state, job, exit message, failure reason, last log lines, links, and what to do.

    ``log_lines`` maps job names to the lines of their logs. The last 50 are shown: 50 of each container where a line
    ``--- <stream>`` begins each one's. ``links`` maps a page's name to its address. For an execution that did not fail
    the text says just that.
    """
    if report.succeeded or report.status == "RUNNING":
        return f"Execution {report.execution_name} is {report.status}: nothing failed."
    stage = report.failed_stage
    logged = log_lines.get(stage.job_name or "", ()) if stage else ()
    log, raised = _last(logged), traceback_of(logged)
    lines = [_headline(report, stage), *(_about_stage(stage) if stage else ()), *_about_cause(report, stage)]
    if raised:
        lines.append("  the script's error:")
        lines += [f"    {line}" for line in raised]
    if log and stage is not None:
        lines.append(f"  last {len(log)} log line{'' if len(log) == 1 else 's'} of {stage.job_name}:")
        lines += [f"    | {line}" for line in log]
    elif stage is not None and stage.job_arn:
        lines.append(f"  log: {stage.job_name} has none")
    lines += [f"  {what}: {address}" for what, address in (links or {}).items()]
    instance_type = (stage.instance_type if stage else None) or report.input.get("instance_type")
    text = _all_text(report, stage, [*raised, *log])
    remedy = remedy_for(report.status, _error(report, stage), text, instance_type, stage.stage if stage else None)
    lines.append(f"  what to do: {remedy}")
    done = [each.stage for each in report.stages if each.succeeded]
    if done:
        lines.append(f"  finished before and not run again by a redrive: {', '.join(done)}")
    return "\n".join(lines)


def traceback_of(lines: Sequence[str]) -> list[str]:
    """The last traceback in ``lines``, with its error's line; empty when there is none.

    Of a chain of exceptions it is the last one, which is what ended the script.
    """
    begin = next((at for at in range(len(lines) - 1, -1, -1) if lines[at].strip() == TRACEBACK_MARK), None)
    if begin is None:
        return []
    margin = len(lines[begin]) - len(lines[begin].lstrip())
    found = [lines[begin]]
    for line in lines[begin + 1 :]:
        found.append(line)
        if line.strip() and len(line) - len(line.lstrip()) <= margin:
            break  # the error itself stands below its frames, at the margin
    return [line[margin:] for line in found] if len(found) > 1 else []


def _last(lines: Sequence[str]) -> list[str]:
    """The last lines of each container; a line ``--- <stream>`` begins another one's."""
    kept: list[str] = []
    part: list[str] = []
    for line in lines:
        if line.startswith(STREAM_MARK):
            kept += [*part[-LOG_LINES:], line]
            part = []
        else:
            part.append(line)
    return kept + part[-LOG_LINES:]


def _headline(report: RunReport, stage: StageReport | None) -> str:
    error = _error(report, stage)
    where = f" in {stage.stage}" if stage else ""
    after = f" after {duration(report.seconds)}" if report.seconds is not None else ""
    return f"Execution {report.execution_name} {report.status}{where}{after}" + (f": {error}" if error else "")


def _error(report: RunReport, stage: StageReport | None) -> str | None:
    """The execution's error, or its stage's: an execution that was stopped or timed out has none of its own."""
    return report.error or (stage.error if stage else None)


def _about_stage(stage: StageReport) -> list[str]:
    lines = [f"  stage: {stage.stage} (state {stage.state_name}), attempt {stage.attempts}"]
    if stage.status == NOT_STARTED:
        lines.append(f"  job: {stage.job_name or 'none'} was not created")
    else:
        size = f" on {stage.instance_type}" if stage.instance_type else ""
        lines.append(f"  job: {stage.job_name} is {stage.status}{size} ({stage.job_arn or 'no ARN known'})")
    if stage.failure_reason:
        lines.append(f"  failure reason: {_indented(stage.failure_reason)}")
    if stage.exit_message:
        lines.append(f"  exit message: {_indented(stage.exit_message)}")
    return lines


def _about_cause(report: RunReport, stage: StageReport | None) -> list[str]:
    """The cause, unless it is the job's description, whose parts are shown anyway."""
    cause = report.cause or (stage.cause if stage else None)
    if not cause or parsed_object(cause) or cause.startswith('{"'):
        return []
    short = cause if len(cause) <= CAUSE_LENGTH else cause[:CAUSE_LENGTH] + "…"
    return [f"  cause: {_indented(short)}"]


def _all_text(report: RunReport, stage: StageReport | None, log: Sequence[str]) -> str:
    texts = [report.cause]
    if stage is not None:
        texts = [stage.failure_reason, stage.exit_message, stage.cause, *texts]
    return "\n".join([*(text for text in texts if text), *log])


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n      ")
