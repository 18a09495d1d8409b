"""The timeline of an execution as text: a bar per stage, for a terminal or a task's log."""

from typing import Final

from stepbridge.core.run_report.model import RunReport, StageReport

BAR_WIDTH: Final = 40
_MARKS: Final = {"Completed": "✔", "Failed": "✘", "Stopped": "■", "Stopping": "■", "InProgress": "…"}


def duration(seconds: float | None) -> str:
    """``0.42 s``, ``12.3 s``, ``4 min 05 s`` or ``2 h 05 min``; ``-`` when not known."""
    if seconds is None:
        return "-"
    if round(seconds, 2) < 10:
        return f"{seconds:.2f} s"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def timeline(report: RunReport) -> str:
    """A line for the execution and one for each stage, with a bar where in the execution's time the stage ran.

    A bar goes from the stage's first request for a job to the end of its last one; the time that a failed execution
    waited for its redrive is left out. The bar is ``BAR_WIDTH`` characters for the whole execution.
    """
    count = "once" if report.redrive_count == 1 else f"{report.redrive_count} times"
    redrives = f", redriven {count}" if report.redrive_count else ""
    lines = [f"{report.execution_name}  {report.status}  {duration(report.seconds)}{redrives}"]
    if not report.stages:
        return lines[0]
    rows = [(stage.stage, duration(stage.seconds), _bar(report, stage), _facts(stage)) for stage in report.stages]
    names = max(len(row[0]) for row in rows)
    times = max(len(row[1]) for row in rows)
    lines += [f"  {name:<{names}}  {time:>{times}}  |{bar}|  {facts}" for name, time, bar, facts in rows]
    return "\n".join(lines)


def figures(report: RunReport) -> list[str]:
    """A line each for what was read and written and what it cost, as far as that is known."""
    lines = []
    for what, found in (("input", report.inputs), ("output", report.outputs)):
        if found is not None:
            more = "" if found.complete else "more than "
            rows = "" if found.rows is None else f", {_count(found.rows, 'row')}"
            objects, size = _count(found.count, "object"), _count(found.bytes, "byte")
            lines.append(f"  {what}: {more}{objects}, {size}{rows} below {found.uri}")
    if report.cost is not None and report.cost.total is not None:
        lines.append(f"  cost at the configured prices: {report.cost.total:.4f}")
    elif report.cost is not None:
        lines.append(f"  cost: no price is configured for {', '.join(report.cost.unpriced)}")
    return lines


def _bar(report: RunReport, stage: StageReport) -> str:
    total = max([report.seconds or 0.0, *(_end(each) for each in report.stages)])
    if total <= 0 or stage.seconds is None:  # it still runs, and the caller gave no clock
        return " " * BAR_WIDTH
    left = min(int((stage.offset_seconds or 0.0) / total * BAR_WIDTH), BAR_WIDTH - 1)
    right = max(round(_end(stage) / total * BAR_WIDTH), left + 1)
    return " " * left + "█" * (right - left) + " " * (BAR_WIDTH - right)


def _end(stage: StageReport) -> float:
    return (stage.offset_seconds or 0.0) + (stage.seconds or 0.0)


def _facts(stage: StageReport) -> str:
    facts = [f"{_MARKS.get(stage.status, '?')} {stage.status}"]
    if stage.instance_type:
        count = f"{stage.instance_count} x " if (stage.instance_count or 1) > 1 else ""
        facts.append(f"{count}{stage.instance_type}, {stage.instance_seconds:.0f} instance-s")
    if stage.attempts > 1:
        facts.append(f"{stage.attempts} attempts")
    return ", ".join(facts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
