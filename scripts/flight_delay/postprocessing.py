"""Rank the scored flights and sum up the day: scored.csv -> predictions.csv + summary.json

python postprocessing.py                  reads /opt/ml/processing/input, writes /opt/ml/processing/output
python postprocessing.py local <folder>   reads and writes <folder>, for a run by hand on a laptop
"""

import json
import os
import sys

import pandas as pd

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"
COLUMNS = [
    "rank",
    "date",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "scheduled_departure",
    "predicted_delay",
    "expected_delay",
    "actual_delay",
    "outcome",
]


def rank(scored):
    """All flights, cancelled ones too, the latest predicted first; times as hh:mm, delays in minutes."""
    table = scored.sort_values(
        ["predicted_delay", "expected_delay", "sched_dep_time", "carrier", "flight"],
        ascending=[False, False, True, True, True],
    ).rename(columns={"arr_delay": "actual_delay"})
    table["rank"] = range(1, len(table) + 1)
    table["date"] = pd.to_datetime(table[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    departure = table["sched_dep_time"].astype(int).astype(str).str.zfill(4)
    table["scheduled_departure"] = departure.str[:2] + ":" + departure.str[2:]
    return table[COLUMNS]


def mean_or_none(values):
    """The mean to two places; None where there is nothing to average, which JSON can say and NaN it cannot."""
    return None if values.empty else round(float(values.mean()), 2)


def summarise(scored):
    """The day in figures. Cancelled and diverted flights have no arrival delay: predicted, but not judged."""
    flown = scored[scored["arr_delay"].notna()]
    return {
        "date": "{:04d}-{:02d}-{:02d}".format(*(int(scored[part].iloc[0]) for part in ("year", "month", "day"))),
        "flights": len(scored),
        "flown": len(flown),
        "cancelled": int((scored["outcome"] == "cancelled").sum()),
        "diverted": int((scored["outcome"] == "diverted").sum()),
        "predicted_mean_delay_minutes": mean_or_none(flown["expected_delay"]),
        "actual_mean_delay_minutes": mean_or_none(flown["arr_delay"]),
        "mean_absolute_error_minutes": mean_or_none((flown["arr_delay"] - flown["predicted_delay"]).abs()),
        "baseline_mean_absolute_error_minutes": mean_or_none((flown["arr_delay"] - flown["baseline_delay"]).abs()),
    }


def main():
    source, target = (sys.argv[2], sys.argv[2]) if sys.argv[1:2] == ["local"] else (INPUT, OUTPUT)
    scored = pd.read_csv(os.path.join(source, "scored.csv"))
    rank(scored).to_csv(os.path.join(target, "predictions.csv"), index=False)
    summary = summarise(scored)
    with open(os.path.join(target, "summary.json"), "w") as file:
        file.write(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
