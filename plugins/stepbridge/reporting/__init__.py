"""Gathers from AWS what a run report needs, and writes the report. Knows nothing of Airflow."""
