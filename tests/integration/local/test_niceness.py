"""Which of Triton's processes stand back when the machine is busy."""

import psutil

from tests.fixtures.stack import RunningService
from vitrine.embedding.contract import IMAGE_MODEL, TEXT_MODEL


def niceness_of(server: RunningService, model: str) -> list[int]:
    """Of every process that runs an instance of the model; the models' paths are among their arguments."""
    children = psutil.Process(server.pid).children(recursive=True)
    return [child.nice() for child in children if any(f"/{model}/" in argument for argument in child.cmdline())]


def test_the_image_model_stands_back_for_the_text_model(triton_server: RunningService) -> None:
    usual = psutil.Process(triton_server.pid).nice()
    assert niceness_of(triton_server, TEXT_MODEL) == [usual, usual]
    assert niceness_of(triton_server, IMAGE_MODEL) == [usual + 10, usual + 10]
