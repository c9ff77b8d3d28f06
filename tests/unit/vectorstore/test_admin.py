import pytest

from vitrine.vectorstore.admin import _numbers


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.3.5", (2, 3, 5)), ("2.6", (2, 6)), ("2.10.0", (2, 10, 0)), ("2.6.0rc1", (2, 6, 0)), ("master", ()), ("", ())],
)
def test_versions_compare_by_their_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert _numbers(version) == numbers
