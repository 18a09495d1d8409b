"""CloudWatch Logs, in ``moto``."""
