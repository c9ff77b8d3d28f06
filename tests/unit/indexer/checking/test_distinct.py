from vitrine.indexer.checking.distinct import KEPT, DistinctCount


def counted(values: range, times: int = 1) -> DistinctCount:
    distinct = DistinctCount()
    for _ in range(times):
        for value in values:
            distinct.add(f"value {value}")
    return distinct


def test_few_values_are_counted_exactly_however_often_they_come() -> None:
    distinct = counted(range(KEPT - 1), times=3)
    assert (distinct.count, distinct.exact) == (KEPT - 1, True)


def test_many_values_are_estimated() -> None:
    distinct = counted(range(50_000), times=2)
    assert not distinct.exact
    assert abs(distinct.count - 50_000) < 5_000


def test_values_of_different_types_differ() -> None:
    distinct = DistinctCount()
    for value in (1, "1", True, 1.0, 1):
        distinct.add(value)
    assert distinct.count == 4
