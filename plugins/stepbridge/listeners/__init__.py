"""What stepbridge does when Airflow tells that something was marked, timed out or ended."""
