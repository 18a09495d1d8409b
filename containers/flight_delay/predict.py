"""Predict the arrival delay of each flight: features.csv -> scored.csv

    python predict.py                  reads /opt/ml/processing/input, writes /opt/ml/processing/output
    python predict.py local <folder>   reads and writes <folder>, for a run by hand on a laptop

model.joblib lies beside this file; train.py makes it.
"""

import os
import sys

import joblib
import pandas as pd

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model.joblib")


def model_columns(features, model):
    """The columns as the model was trained on them, in its order."""
    columns = features.copy()
    for name, keys in model["history_keys"].items():
        # The average delay of this carrier, route, ... in the training months; a new one gets the average of all.
        history = columns[keys].merge(model["history"][name], on=keys, how="left")["delay"]
        columns[name] = history.fillna(model["mean_delay"]).to_numpy()
    for name, values in model["categories"].items():
        columns[name] = pd.Categorical(columns[name], categories=values).codes.astype(float)
    return columns[model["columns"]]


def predict(features, model):
    """The features with three columns more, all in minutes.

    predicted_delay: half of such flights arrive later than this (a median: the least absolute error).
    expected_delay: the average of such flights, higher because a few are very late; for sums and means of a day.
    baseline_delay: what one would say of every flight alike: the median of the training months.
    """
    columns = model_columns(features, model)
    return features.assign(
        predicted_delay=model["median_model"].predict(columns).round(1),
        expected_delay=model["mean_model"].predict(columns).round(1),
        baseline_delay=model["median_delay"],
    )


def main():
    source, target = (sys.argv[2], sys.argv[2]) if sys.argv[1:2] == ["local"] else (INPUT, OUTPUT)
    features = pd.read_csv(os.path.join(source, "features.csv"))
    model = joblib.load(MODEL)
    scored = predict(features, model)
    scored.to_csv(os.path.join(target, "scored.csv"), index=False)
    print(f"{len(scored)} flights scored with the model of {model['trained_on']}")


if __name__ == "__main__":
    main()
