"""Train the model on the first three months of 2013 and measure it on the nine months it has never seen.

    python train.py <folder>   <folder> holds flights.csv, weather.csv and planes.csv of the whole year

Writes model.joblib beside this file and prints the table that is in README.md. The same data and the same versions
(requirements.txt) give the same model. This file is not part of the image.
"""

import os
import sys

import joblib
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "..", "scripts", "flight_delay"))
from predict import model_columns, predict  # noqa: E402
from preprocessing import FEATURES, build_features  # noqa: E402

LAST_TRAINING_MONTH = 3
CATEGORIES = ["carrier", "origin"]
HISTORY_KEYS = {
    "carrier_delay": ["carrier"],
    "dest_delay": ["dest"],
    "route_delay": ["carrier", "origin", "dest"],
    "hour_delay": ["origin", "minute_of_day"],
}
# Flights that a rare route is credited with at the average delay, before its own count.
PRIOR_FLIGHTS = 50
# More rain, more wind, a later history: never an earlier arrival. Keeps a winter's model sane in July's thunderstorms.
MORE_IS_LATER = {
    "departures_in_hour": 1,
    "humid": 1,
    "wind_speed": 1,
    "precip": 1,
    "visib": -1,
    "precip_so_far": 1,
    "lowest_visib": -1,
    "highest_wind": 1,
    **dict.fromkeys(HISTORY_KEYS, 1),
}
COLUMNS = ["flights", "mae", "baseline_mae", "gain_percent", "rmse", "baseline_rmse", "predicted_mean", "actual_mean"]


def average_delay(flights, keys, overall):
    """The average delay by keys, drawn towards the overall average where there are few flights."""
    by_key = flights.groupby(keys)["arr_delay"].agg(["sum", "count"])
    delay = (by_key["sum"] + PRIOR_FLIGHTS * overall) / (by_key["count"] + PRIOR_FLIGHTS)
    return delay.rename("delay").reset_index()


def train(features):
    """The model as predict.py loads it, from features of flights with a known delay."""
    flown = features[features["arr_delay"].notna()]
    mean_delay = float(flown["arr_delay"].mean())
    columns = [*CATEGORIES, *HISTORY_KEYS, *FEATURES]
    model = {
        "trained_on": "January to March 2013",
        "columns": columns,
        "categories": {name: sorted(flown[name].unique()) for name in CATEGORIES},
        "history_keys": HISTORY_KEYS,
        "history": {name: average_delay(flown, keys, mean_delay) for name, keys in HISTORY_KEYS.items()},
        "mean_delay": mean_delay,
        "median_delay": float(flown["arr_delay"].median()),
    }
    for name, loss in (("median_model", "absolute_error"), ("mean_model", "squared_error")):
        regressor = HistGradientBoostingRegressor(
            loss=loss,
            max_iter=250,
            learning_rate=0.05,
            max_leaf_nodes=15,
            min_samples_leaf=300,
            l2_regularization=10,
            categorical_features=CATEGORIES,
            monotonic_cst=MORE_IS_LATER,
            early_stopping=False,
            random_state=0,
        )
        model[name] = regressor.fit(model_columns(flown, model), flown["arr_delay"])
    return model


def measure(features, model):
    """Errors in minutes by month, of the model and of two constants: the training median and the training mean."""
    scored = predict(features[features["arr_delay"].notna()], model)
    actual = scored["arr_delay"]
    errors = pd.DataFrame(
        {
            "month": scored["month"].astype(str),
            "flights": 1,
            "mae": (actual - scored["predicted_delay"]).abs(),
            "baseline_mae": (actual - model["median_delay"]).abs(),
            "mse": (actual - scored["expected_delay"]) ** 2,
            "baseline_mse": (actual - model["mean_delay"]) ** 2,
            "predicted_mean": scored["expected_delay"],
            "actual_mean": actual,
        }
    )
    how = dict.fromkeys(errors.columns.drop("month"), "mean") | {"flights": "sum"}
    errors = pd.concat([errors, errors.assign(month="all")])
    table = errors.groupby("month", sort=False).agg(how)
    table["rmse"], table["baseline_rmse"] = table["mse"] ** 0.5, table["baseline_mse"] ** 0.5
    table["gain_percent"] = 100 * (1 - table["mae"] / table["baseline_mae"])
    return table[COLUMNS]


def main():
    flights, weather, planes = (
        pd.read_csv(os.path.join(sys.argv[1], name)) for name in ("flights.csv", "weather.csv", "planes.csv")
    )
    features = build_features(flights, weather, planes)
    model = train(features[features["month"] <= LAST_TRAINING_MONTH])
    joblib.dump(model, os.path.join(HERE, "model.joblib"), compress=3)
    print(measure(features[features["month"] > LAST_TRAINING_MONTH], model).round(2).to_string())


if __name__ == "__main__":
    main()
