"""Steps that are taken at once, and the one that is alone."""

import asyncio

import pytest

from vitrine.together import together


async def _task_of(answer: str, pause_s: float = 0) -> tuple[str, "asyncio.Task[None] | None"]:
    await asyncio.sleep(pause_s)
    return answer, asyncio.current_task()


async def test_answers_come_in_the_order_of_their_steps() -> None:
    assert [answer for answer, _ in await together([_task_of("slow", 0.01), _task_of("quick")])] == ["slow", "quick"]
    assert await together([]) == []


async def test_one_alone_is_taken_by_whoever_asks_and_several_by_tasks_of_their_own() -> None:
    own = asyncio.current_task()
    assert await together([_task_of("alone")]) == [("alone", own)]
    assert own not in [task for _, task in await together([_task_of("one"), _task_of("other")])]


@pytest.mark.parametrize("others", [0, 2])
async def test_what_fails_is_raised(others: int) -> None:
    async def fail() -> tuple[str, None]:
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        await together([*(_task_of("other") for _ in range(others)), fail()])
