"""SNS, in ``moto``."""
