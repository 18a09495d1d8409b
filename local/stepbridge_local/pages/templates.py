"""The HTML of the local AWS's pages, as Jinja templates. All values are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import jinja2

from stepbridge_local.pages.objects import address_of

__all__ = ["rendered"]

_FRAME: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{% if refresh_seconds %}<meta http-equiv="refresh" content="{{ refresh_seconds }}">{% endif %}
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; margin: .2rem 0 1rem; }
h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
.crumb { color: #777; font-size: .85rem; }
pre { font: 13px/1.45 ui-monospace, monospace; background: #8881; padding: .7rem .9rem; border-radius: 4px;
      white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
pre.chart { white-space: pre; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8883; }
th { font-weight: 600; font-size: .85rem; }
td { overflow-wrap: anywhere; }
.status { display: inline-block; padding: 0 .5rem; border-radius: 3px; color: #fff; background: #767676; }
.status, .word { overflow-wrap: normal; }
.good { background: #217a3c; } .bad { background: #b3261e; } .busy { background: #1a5fb4; }
</style>
</head>
<body>
<div class="crumb"><a href="/_stepbridge/">local AWS</a>{% if place %} · {{ place }}{% endif %}</div>
{% block body %}{% endblock %}
</body>
</html>
"""

_STATUS: Final = """\
{% macro status(name) -%}
<span class="status {{ {'SUCCEEDED': 'good', 'Completed': 'good', 'FAILED': 'bad', 'Failed': 'bad', 'TIMED_OUT': 'bad',
'ABORTED': 'bad', 'Stopped': 'bad', 'FAULT': 'bad', 'RUNNING': 'busy', 'InProgress': 'busy', 'IN_PROGRESS': 'busy'
}.get(name, '') }}">{{ name }}</span>
{%- endmacro %}
{% macro linked(text, place) -%}
{% for piece, page in text | pieces(place) %}{% if page %}<a href="/_stepbridge/{{ page }}">{{ piece }}</a>{% else %}
{{- piece }}{% endif %}{% endfor %}
{%- endmacro %}
"""

_EXECUTION: Final = """\
{% extends "frame" %}{% from "status" import linked, status %}
{% block body %}
<h1>Execution {{ execution.name }} {{ status(execution.status) }}</h1>
<table>
<tr><th>ARN</th><td>{{ execution.executionArn }}</td></tr>
<tr><th>State machine</th><td>{{ execution.stateMachineArn }}</td></tr>
<tr><th>Started</th><td>{{ at(execution.startDate) }}</td></tr>
<tr><th>Ended</th><td>{{ at(ended_at) }}</td></tr>
<tr><th>Redrives</th><td>{{ execution.redriveCount or 0 }}</td></tr>
</table>
{% set description = cause.startswith("{") %}
{% if execution.error or cause %}<h2>Error{{ "" if description else " and cause" }}</h2><pre>{{ execution.error or "" }}
{{ "" if description else cause }}</pre>{% endif %}
{% if failed_lines %}<h2>Last lines of {{ jobs[-1].name }}</h2><pre>{% for line in failed_lines %}{{ line }}
{% endfor %}</pre>{% endif %}
<h2>States</h2><pre class="chart">{{ chart }}</pre>
<h2>Jobs</h2>
{% if jobs %}<table>
<tr><th>State</th><th>Job</th><th>Status</th><th>Time</th><th>Exit message or failure reason</th><th></th></tr>
{% for job in jobs %}<tr><td>{{ job.state }}</td><td><a href="{{ job.page }}">{{ job.name }}</a></td>
<td>{{ status(job.status) }}</td><td>{{ job.time }}</td><td>{{ job.message }}</td>
<td><a href="{{ job.log }}">log</a></td></tr>
{% endfor %}</table>{% else %}<p>No job yet.</p>{% endif %}
{% for visit in visits %}<p>{{ visit.name }}, {{ visit.attempts }} attempt{{ "" if visit.attempts == 1 else "s" }}:
{{ visit.error }}</p><pre>{{ indented(visit.cause) }}</pre>{% endfor %}
{% if description %}<h2>Cause</h2><pre>{{ cause }}</pre>{% endif %}
<h2>Input</h2><pre>{{ linked(input, region_query) }}</pre>
{% if output %}<h2>Output</h2><pre>{{ linked(output, region_query) }}</pre>{% endif %}
<h2>Events</h2><pre>{{ events }}</pre>
{% endblock %}
"""

_JOB: Final = """\
{% extends "frame" %}{% from "status" import linked, status %}
{% block body %}
<h1>Processing job {{ name }} {{ status(job_status) }}</h1>
<p><a href="{{ log }}">Log</a></p>
{% if message %}<h2>Exit message or failure reason</h2><pre>{{ message }}</pre>{% endif %}
{% if failed_lines %}<h2>Last lines</h2><pre>{% for line in failed_lines %}{{ line }}
{% endfor %}</pre>{% endif %}
<h2>Description</h2><pre>{{ linked(description, region_query) }}</pre>
{% endblock %}
"""

_LOGS: Final = """\
{% extends "frame" %}
{% block body %}
<h1>Log {{ group }}: {{ prefix }}*</h1>
{% for stream in streams %}<h2>{{ stream.name }}</h2>
{% if stream.cut %}<p>The last {{ stream.lines|length }} lines.</p>{% endif %}
<pre>{% for line in stream.lines %}{{ line }}
{% endfor %}</pre>
{% else %}<p>No log stream of this group begins like that: what has not written a line yet has none,
and a restart of the local AWS loses logs.</p>{% endfor %}
{% endblock %}
"""

_BUILD: Final = """\
{% extends "frame" %}{% from "status" import linked, status %}
{% block body %}
<h1>Build {{ build.id }} {{ status(build.buildStatus) }}</h1>
<table>
<tr><th>Started</th><td>{{ at(build.startTime) }}</td></tr>
<tr><th>Ended</th><td>{{ at(build.endTime) }}</td></tr>
</table>
<h2>Phases</h2>
<table><tr><th>Phase</th><th>Status</th><th>Seconds</th><th></th></tr>
{% for phase in build.phases %}<tr><td class="word">{{ phase.phaseType }}</td>
<td>{% if phase.phaseStatus %}{{ status(phase.phaseStatus) }}{% endif %}</td><td>{{ phase.durationInSeconds }}</td>
<td>{% for context in phase.contexts or () %}{{ brief(context.message) }} {% endfor %}</td></tr>
{% endfor %}</table>
<h2>Log</h2>
{% if not stream.lines %}<p>No line: either none was written yet,
or it was lost, since a restart of the local AWS loses logs.</p>{% endif %}
{% if stream.cut %}<p>The last {{ stream.lines|length }} lines.</p>{% endif %}
<pre>{% for line in stream.lines %}{{ line }}
{% endfor %}</pre>
{% endblock %}
"""

_INDEX: Final = """\
{% extends "frame" %}{% from "status" import linked, status %}
{% block body %}
<h1>{{ title }}</h1>
<form><label>Account <input name="account" value="{{ account }}"></label>
<label>Region <input name="region" value="{{ region }}"></label> <button>Show</button></form>
<h2>Executions</h2>
{% if found.executions %}<table>
<tr><th>Execution</th><th>State machine</th><th>Status</th><th>Started</th><th>Ended</th></tr>
{% for row in found.executions %}<tr><td><a href="/_stepbridge/{{ row.page }}">{{ row.name }}</a></td>
<td>{{ row.group }}</td><td>{{ status(row.status) }}</td><td>{{ at(row.started) }}</td><td>{{ at(row.ended) }}</td></tr>
{% endfor %}</table>{% else %}<p>No execution yet.</p>{% endif %}
<h2>Processing jobs</h2>
{% if found.jobs %}<table>
<tr><th>Job</th><th>Status</th><th>Created</th><th>Ended</th></tr>
{% for row in found.jobs %}<tr><td><a href="/_stepbridge/{{ row.page }}">{{ row.name }}</a></td>
<td>{{ status(row.status) }}</td><td>{{ at(row.started) }}</td><td>{{ at(row.ended) }}</td></tr>
{% endfor %}</table>{% else %}<p>No job yet.</p>{% endif %}
<h2>Builds</h2>
{% if found.builds %}<table>
<tr><th>Build</th><th>Status</th><th>Started</th><th>Ended</th></tr>
{% for row in found.builds %}<tr><td><a href="/_stepbridge/{{ row.page }}">{{ row.name }}</a></td>
<td>{{ status(row.status) }}</td><td>{{ at(row.started) }}</td><td>{{ at(row.ended) }}</td></tr>
{% endfor %}</table>{% else %}<p>No build yet.</p>{% endif %}
<h2>Buckets</h2>
{% if found.buckets %}<table>
{% for name, page in found.buckets %}<tr><td><a href="/_stepbridge/{{ page }}">{{ name }}</a></td></tr>
{% endfor %}</table>{% else %}<p>No bucket yet.</p>{% endif %}
<p>Each list has its newest {{ found.most }} at most.</p>
{% endblock %}
"""

_OBJECTS: Final = """\
{% extends "frame" %}
{% block body %}
<h1>s3:// {% for name, page in found.parents %}<a href="/_stepbridge/{{ page }}">{{ name }}</a> / {% endfor %}</h1>
<p>{{ title }}</p>
{% if found.cut %}<p>The first {{ found.objects|length + found.folders|length }} of them.</p>{% endif %}
{% if found.objects or found.folders %}<table><tr><th>Name</th><th>Bytes</th><th>Last modified</th></tr>
{% for name, page in found.folders %}<tr><td><a href="/_stepbridge/{{ page }}">{{ name }}</a></td>
<td></td><td></td></tr>
{% endfor %}
{% for key, page, size, moment in found.objects %}<tr><td><a href="/_stepbridge/{{ page }}">{{ key }}</a></td>
<td>{{ size }}</td><td>{{ at(moment) }}</td></tr>
{% endfor %}</table>
{% else %}<p>No object's key begins like that.</p>{% endif %}
{% endblock %}
"""

_PROBLEM: Final = """\
{% extends "frame" %}
{% block body %}<h1>{{ title }}</h1><p>{{ text }}</p>{% endblock %}
"""

_TEMPLATES: Final = {
    "frame": _FRAME,
    "status": _STATUS,
    "index": _INDEX,
    "execution": _EXECUTION,
    "job": _JOB,
    "logs": _LOGS,
    "build": _BUILD,
    "objects": _OBJECTS,
    "problem": _PROBLEM,
}


def rendered(template: str, **values: Any) -> str:
    """The page; ``title`` is needed by all of them, ``refresh_seconds`` makes the browser load it again."""
    environment = jinja2.Environment(loader=jinja2.DictLoader(_TEMPLATES), autoescape=True, trim_blocks=False)
    environment.filters["pieces"] = _pieces
    return environment.get_template(template).render(values)


def _pieces(text: str, place: str) -> Iterator[tuple[str, str | None]]:
    """The text in pieces; each S3 URI is one of its own, with the address of its page."""
    for number, piece in enumerate(re.split(r"(s3://[a-z0-9.-]+/[^\s\"<>\\]*)", text)):
        bucket, _, key = piece.removeprefix("s3://").partition("/")
        yield piece, address_of(bucket, key, place) if number % 2 else None
