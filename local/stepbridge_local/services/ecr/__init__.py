"""ECR, in ``moto``: repositories and images that survive a restart."""
