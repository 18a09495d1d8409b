"""S3, in ``moto``: buckets and objects that survive a restart."""
