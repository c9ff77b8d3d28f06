import pytest

from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.vectorstore.searcher import check_window


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (-1, 0), (10, -1)])
def test_a_window_before_the_first_hit_is_refused(limit: int, offset: int) -> None:
    with pytest.raises(InvalidInput):
        check_window(limit, offset)


@pytest.mark.parametrize(("limit", "offset", "vectors"), [(16_385, 0, 1), (1, 16_384, 1), (1, 0, 0), (1, 0, 1_025)])
def test_windows_and_batches_are_limited(limit: int, offset: int, vectors: int) -> None:
    check_window(16_000, 384, 1_024)
    with pytest.raises(LimitExceeded):
        check_window(limit, offset, vectors)
