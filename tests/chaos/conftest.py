"""The same site around a project as in the end-to-end tests."""

from tests.e2e.conftest import add_models, leftovers, project, site

__all__ = ["add_models", "leftovers", "project", "site"]
