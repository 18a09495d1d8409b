"""Build the features of a day's flights: flights.csv + weather.csv + planes.csv -> features.csv

    python preprocessing.py                  reads /opt/ml/processing/input, writes /opt/ml/processing/output
    python preprocessing.py local <folder>   reads and writes <folder>, for a run by hand on a laptop

Only what is known before an aircraft leaves the gate becomes a feature: the timetable, the aircraft, and the weather
at the origin up to the hour of scheduled departure. Departure delay, arrival time and time in the air are not. The
actual arrival delay passes through untouched, so that the predictions can be judged later; it is not a feature.
"""

import os
import sys

import pandas as pd

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"

# Who the flight is. Carried along for the people who read the predictions.
IDENTITY = ["year", "month", "day", "carrier", "flight", "tailnum", "origin", "dest", "sched_dep_time"]
FEATURES = [
    "day_of_week",  # 0 = Monday
    "minute_of_day",  # scheduled departure, local
    "scheduled_minutes",  # gate to gate, difference of two local times; wrong by the time zones, the same every day
    "distance",  # miles
    "departures_in_hour",  # scheduled from this airport in this hour
    "departures_to_dest",  # scheduled to this destination today, from all three airports
    "leg",  # how many departures this aircraft is scheduled for earlier today
    "age",  # years
    "seats",
    "humid",  # per cent, and so on as in weather.csv
    "wind_speed",
    "precip",
    "visib",
    "precip_so_far",  # inches since midnight
    "lowest_visib",  # miles, since midnight
    "highest_wind",  # miles per hour, since midnight
]
WEATHER = ["humid", "wind_speed", "precip", "visib"]


def weather_up_to_each_hour(weather):
    """The weather of each hour and airport, with what has come together since midnight of the same day."""
    weather = weather.sort_values(["origin", "time_hour"]).drop_duplicates(["origin", "time_hour"])
    today = weather.groupby(["origin", "year", "month", "day"])
    weather["precip_so_far"] = today["precip"].cumsum()
    weather["lowest_visib"] = today["visib"].cummin()
    weather["highest_wind"] = today["wind_speed"].cummax()
    return weather[["origin", "time_hour", *WEATHER, "precip_so_far", "lowest_visib", "highest_wind"]]


def outcome(flights):
    """What became of each flight: flown, cancelled (never left) or diverted (left, but has no arrival delay)."""
    result = pd.Series("flown", index=flights.index)
    result[flights["arr_delay"].isna()] = "diverted"
    result[flights["dep_time"].isna()] = "cancelled"
    return result


def build_features(flights, weather, planes):
    """One row per flight, in the timetable's order: identity, features, and the outcome that is to be predicted."""
    planes = planes.rename(columns={"year": "built"})[["tailnum", "built", "seats"]]
    table = flights.merge(weather_up_to_each_hour(weather), on=["origin", "time_hour"], how="left")
    table = table.merge(planes, on="tailnum", how="left")

    day = ["year", "month", "day"]
    table["day_of_week"] = pd.to_datetime(table[day]).dt.dayofweek
    table["minute_of_day"] = table["sched_dep_time"] // 100 * 60 + table["sched_dep_time"] % 100
    arrival = table["sched_arr_time"] // 100 * 60 + table["sched_arr_time"] % 100
    table["scheduled_minutes"] = (arrival - table["minute_of_day"]) % (24 * 60)
    table["departures_in_hour"] = table.groupby([*day, "origin", "hour"])["flight"].transform("size")
    table["departures_to_dest"] = table.groupby([*day, "dest"])["flight"].transform("size")
    table["age"] = table["year"] - table["built"]

    # The order must not depend on the order of the file, which is by actual departure.
    table = table.sort_values([*day, "minute_of_day", "origin", "carrier", "flight"], kind="stable")
    table["leg"] = table.groupby([*day, "tailnum"]).cumcount().astype(float)
    table.loc[table["tailnum"].isna(), "leg"] = None

    table["outcome"] = outcome(table)
    return table[[*IDENTITY, *FEATURES, "outcome", "arr_delay"]].reset_index(drop=True)


def main():
    source, target = (sys.argv[2], sys.argv[2]) if sys.argv[1:2] == ["local"] else (INPUT, OUTPUT)
    flights = pd.read_csv(os.path.join(source, "flights.csv"))
    # Numbers even where the file has no rows: 31 December is missing from the weather records.
    weather = pd.read_csv(os.path.join(source, "weather.csv"), dtype=dict.fromkeys(WEATHER, float))
    planes = pd.read_csv(os.path.join(source, "planes.csv"))
    if flights.empty:
        sys.exit(f"{os.path.join(source, 'flights.csv')} has no flights: is this the right day?")
    features = build_features(flights, weather, planes)
    features.to_csv(os.path.join(target, "features.csv"), index=False)
    without = features[["visib", "age"]].isna().sum()
    print(f"{len(features)} flights, {without['visib']} without weather, {without['age']} without plane")


if __name__ == "__main__":
    main()
