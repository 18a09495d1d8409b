"""Tests of stepbridge: a package, because a distribution in the environment installs a `tests` of its own."""
