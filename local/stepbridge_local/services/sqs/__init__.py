"""SQS, in ``moto``."""
