"""What tests of studies share."""

import pytest

from joulegrid.study import conclusions, parts
from joulegrid.study.code import Source


@pytest.fixture(scope="module")
def library():
    """The library, read once for all studies of a module's tests."""
    source = Source()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "Source", lambda: source)
        patch.setattr(conclusions, "Source", lambda: source)
        yield
