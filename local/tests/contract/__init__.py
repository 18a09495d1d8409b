"""One suite against each implementation, and real clients against the local AWS."""
