"""Recurring batch inference on AWS for models that know nothing of the cloud, run from Airflow."""

__version__ = "0.2.0"
