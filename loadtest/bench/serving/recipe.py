"""The recipe's process as one of the systems."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from loadtest.bench.http_connection import BenchError
from loadtest.bench.serving.collections import RECIPE as COLLECTION
from loadtest.bench.serving.collections import id_of
from loadtest.bench.serving.sizes import LIMIT
from loadtest.bench.serving.stack import MILVUS
from loadtest.bench.serving.systems import RECIPE, Call, Rows, System

NPROBE: Final = 20
START_TIMEOUT_S: Final = 300.0
CALL_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 10.0
_ROOT: Final = Path(__file__).parents[3]
_MODULE: Final = "loadtest.bench.serving.recipe_search"


class RecipeProcess:
    """The running recipe, one text at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, text: str) -> Any:
        """Its answer to a text: `embed_s`, `search_s`, `ids`.

        Raises:
            BenchError: it ended.
        """
        if self._process.stdin is None:
            raise BenchError("The recipe's process takes no input.")
        self._process.stdin.write(f"{text}\n".encode())
        return await self.read(CALL_TIMEOUT_S)

    async def read(self, timeout_s: float) -> Any:
        """The next line that it writes.

        Raises:
            BenchError: there is none in time.
        """
        if self._process.stdout is None:
            raise BenchError("The recipe's process gives no output.")
        async with asyncio.timeout(timeout_s):
            line = await self._process.stdout.readline()
        if not line:
            raise BenchError("The recipe's process ended; its last words are in recipe.log.")
        return json.loads(line)


@asynccontextmanager
async def recipe_running(python: Path, checkpoint: Path, uri: str, log: Path) -> AsyncIterator[RecipeProcess]:
    """The recipe by a Python that has it (an absolute path), its model loaded; ended afterwards."""
    options = ("--uri", uri, "--collection", COLLECTION, "--nprobe", str(NPROBE), "--limit", str(LIMIT))
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            python,
            "-m",
            _MODULE,
            checkpoint,
            *options,
            cwd=_ROOT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        recipe = RecipeProcess(process)
        await recipe.read(START_TIMEOUT_S)
        yield recipe
    finally:
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def recipe_system(recipe: RecipeProcess, texts: Sequence[str], rows: Rows) -> System:
    """Times are the recipe's own, without the way to its process and back."""

    @asynccontextmanager
    async def caller() -> AsyncIterator[Call]:
        async def ask(row: int) -> object:
            return await recipe.ask(texts[row])

        yield ask

    return System(
        RECIPE,
        "fp32",
        (RECIPE, MILVUS),
        caller,
        rows,
        ids_in=lambda answer: [id_of(row) for row in answer["ids"]],
        seconds_in=lambda answer: float(answer["embed_s"] + answer["search_s"]),
        most_callers=1,
    )
