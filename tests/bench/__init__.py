"""``make bench``: speed and memory as figures, ours beside what people use otherwise, measured in one run."""
