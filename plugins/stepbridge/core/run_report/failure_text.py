"""The texts about an execution that failed or wrote nothing: what a failed task writes into its log."""

from collections.abc import Mapping, Sequence
from typing import Final

from stepbridge.core.failures import ANY_SOURCE, MENDED, SOURCES, missing_module_remedy, remedy_for
from stepbridge.core.run_report.history import parsed_object
from stepbridge.core.run_report.log_lines import last_lines, shown, traceback_of
from stepbridge.core.run_report.model import NOT_STARTED, Listing, RunReport, StageReport
from stepbridge.core.run_report.timeline import duration
from stepbridge.errors import StepbridgeError

CAUSE_LENGTH: Final = 1500
NAMED_OBJECTS: Final = 10
LOCAL_NOTE: Final = "[local AWS] "
"""How the local AWS begins the lines that it adds to a job's log, about the files of a job that stored none."""
_LOG_HEAD, _LOG_LINE = "  last ", "    | "


class ExecutionFailedError(StepbridgeError):
    """The execution failed. ``text`` is ``failure_text``'s.

    ``error`` is Step Functions' name of what it failed with: for a job the prefix of its failure reason, such as
    AlgorithmError; empty when it has none.
    """

    def __init__(self, execution_arn: str, status: str, text: str, error: str = "") -> None:
        super().__init__(execution_arn, status)
        self.args = (execution_arn, status, text, error)  # what pickle hands to __init__
        self.execution_arn = execution_arn
        self.status = status
        self.text = text
        self.error = error

    def __str__(self) -> str:
        return self.text

    @property
    def summary(self) -> str:
        return without_log(self.text)


def failure_text(
    report: RunReport,
    log_lines: Mapping[str, Sequence[str]],
    links: Mapping[str, str] | None = None,
    stage_input: Listing | None = None,
    project_files: Sequence[str] = (),
) -> str:
    """The stage, state, job, exit message, failure reason, last log lines, links, and what to do.

    ``log_lines`` maps job names to the lines of their logs. The last 50 are shown: 50 of each container where a line
    ``--- <stream>`` begins each one's. ``links`` maps a page's name to its address, ``stage_input`` is what the failed
    stage had to read, ``project_files`` the project's modules. For an execution that did not fail the text says that.
    """
    if report.succeeded or report.status == "RUNNING":
        return f"Execution {report.execution_name} is {report.status}: nothing failed."
    stage, silent = report.failed_stage, report.silent_stage
    log = shown(log_lines.get(stage.job_name or "", ())) if stage else []
    raised = traceback_of(log)
    lines = [_headline(report, stage), *(_about_stage(stage) if stage else ()), *_about_cause(report, stage)]
    if stage and silent:
        lines.append(f"  at fault: {silent.stage}, which wrote nothing for {stage.stage} to read")
        lines += [*_about_stage(silent), *silence(silent, log_lines.get(silent.job_name or "", ()))]
    if raised:
        lines.append("  the script's error:")
        lines += [f"    {line}" for line in raised]
    if stage_input and raised:
        lines.append(f"  its input, below {stage_input.uri}: {_names(stage_input)}")
    if stage and not silent:
        lines += _log(stage, log)
    lines += [f"  {what}: {address}" for what, address in (links or {}).items()]
    remedy = _remedy(report, stage, [*raised, *last_lines(log)], project_files)
    lines.append(f"  what to do: {remedy}")
    done = [each.stage for each in report.stages if each.succeeded and not silent]
    if done:
        again = "not run again by a redrive" if "clear wait_for_execution" in remedy else "run again by a new execution"
        lines.append(f"  finished before and {again}: {', '.join(done)}")
    return "\n".join(lines)


def silence(stage: StageReport, log_lines: Sequence[str]) -> list[str]:
    """What is known of a job that ended well and stored nothing: its folders, as far as they are known, and its log.

    SageMaker says what was stored, not what lay in the container; the local AWS adds that to the job's log.
    """
    log = shown(log_lines)
    notes = [line.removeprefix(LOCAL_NOTE) for line in log if line.startswith(LOCAL_NOTE)]
    unknown = (
        f"output folder: {stage.output_folder}; nothing that lay in it was stored below {stage.output_uri}",
        "working directory: SageMaker does not tell it, nor what lay in it; print os.getcwd() and os.listdir() to see",
    )
    lines = [f"  {note}" for note in notes or unknown]
    return [*lines, *_log(stage, [line for line in log if not line.startswith(LOCAL_NOTE)])]


def output_remedy(stage: StageReport) -> str:
    """What to do about a stage that ended well and stored nothing."""
    code = "predict.py, or whatever its image runs," if stage.stage == "inference" else f"{stage.stage}.py"
    return (
        f"{code} ended well and left no file in {stage.output_folder}, the only folder that is stored: let it write "
        f"there (a relative path is another folder), or find out why it had nothing to write; "
        f"{MENDED.format(source=SOURCES.get(stage.stage, ANY_SOURCE))}"
    )


def without_log(text: str) -> str:
    """``text`` without the lines of a job's log."""
    return "\n".join(line for line in text.splitlines() if not line.startswith((_LOG_HEAD, _LOG_LINE)))


def _log(stage: StageReport, log: Sequence[str]) -> list[str]:
    last = last_lines(log)
    if not last:
        return [f"  log: {stage.job_name} has none"] if stage.job_arn else []
    plural = "" if len(last) == 1 else "s"
    return [f"{_LOG_HEAD}{len(last)} log line{plural} of {stage.job_name}:", *(f"{_LOG_LINE}{line}" for line in last)]


def _names(listing: Listing) -> str:
    names = [each.key.rpartition("/")[2] for each in listing.objects[:NAMED_OBJECTS]]
    return ", ".join(names) + (f" and {listing.count - len(names)} more" if listing.count > len(names) else "")


def _remedy(report: RunReport, stage: StageReport | None, log: Sequence[str], project_files: Sequence[str]) -> str:
    if report.silent_stage:
        return output_remedy(report.silent_stage) + "."
    text = _all_text(report, stage, log)
    missing = (
        missing_module_remedy(stage.stage, text, project_files) if stage and stage.error != "States.Timeout" else ""
    )
    instance_type = (stage.instance_type if stage else None) or report.input.get("instance_type")
    return missing or remedy_for(
        report.status, _error(report, stage), text, instance_type, stage.stage if stage else None, report.execution_arn
    )


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
