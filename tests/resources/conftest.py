"""The same project folder as the authoring tests use."""

from tests.authoring.conftest import project

__all__ = ["project"]
