"""`vitrine model`: export a checkpoint, train the demo model, verify a repository."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from vitrine.embedding.contract import IMAGE_MODEL, TEXT_MODEL, ModelContract
from vitrine.errors import ModelInvalid
from vitrine.models.triton_config import Serving

_DEFAULT = Serving()


def register(app: typer.Typer) -> None:
    """Adds the sub-commands to the command line."""
    model = typer.Typer(help="Make and check model repositories.", no_args_is_help=True)
    model.command("export")(export_command)
    model.command("train-demo")(train_demo_command)
    model.command("verify")(verify_command)
    app.add_typer(model, name="model")


def export_command(
    source: Annotated[str, typer.Argument(help="Folder of a CLIP checkpoint, or a hub id.")],
    output: Annotated[Path, typer.Option(help="Folder of the model repository to write.")],
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="fp16 is for GPUs, int8 for CPUs.")
    ] = "fp32",
    image_policy: Annotated[
        int, typer.Option(min=1, max=2, help="2 decodes large JPEGs at a fraction of their size, 1 never does.")
    ] = 2,
    profile: Annotated[Literal["cpu", "gpu"], typer.Option(help="What Triton will run it on.")] = "cpu",
    accelerator: Annotated[
        Literal["cuda", "tensorrt"] | None, typer.Option(help="gpu profile: ONNX Runtime's execution provider.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name recorded in the contract.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    instances: Annotated[int, typer.Option(min=1, help="Copies of each model that run at once.")] = _DEFAULT.instances,
    threads: Annotated[int, typer.Option(min=1, help="cpu profile: threads of one copy.")] = _DEFAULT.threads,
    image_threads: Annotated[
        int | None, typer.Option(min=1, help="cpu profile: threads of one copy of the image model; 1 indexes fastest.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a repository that is there.")] = False,
) -> None:
    """Turn a CLIP checkpoint of the transformers format into a model repository for Triton.

    The graphs are compared with the checkpoint before anything is written; a repository that does not agree is refused.
    """
    serving = Serving(
        profile=profile,
        accelerator=accelerator,
        instances=instances,
        threads=threads,
        image_threads=image_threads,
    )
    with _needs_export_extra():
        from vitrine.models.export import export

        report = export(
            source,
            output,
            precision=precision,
            image_policy=1 if image_policy == 1 else 2,
            serving=serving,
            model_name=name,
            revision=revision,
            force=force,
        )
    console = Console(soft_wrap=True, highlight=False)
    for model, part in ((TEXT_MODEL, report.text), (IMAGE_MODEL, report.image)):
        times = ", ".join(f"{case} {value:.1f} ms" for case, value in part.agreement.milliseconds.items())
        console.print(f"{model}: {part.bytes / 1e6:.1f} MB, {part.variant}")
        console.print(f"  agrees with the checkpoint: {part.agreement}")
        console.print(f"  one row here takes: {times}")
    console.print(f"Wrote {report.output} in {report.seconds:.0f} s, fingerprint {report.contract.fingerprint}")


def train_demo_command(
    output: Annotated[Path, typer.Option(help="Folder for the checkpoint.")],
    workspace: Annotated[Path, typer.Option(help="Folder for drawings and training state; about 3 GB, reusable.")],
    seed: Annotated[int, typer.Option(help="Same seed, same machine: same weights.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps; by default the recipe's own.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the training.")] = 2,
) -> None:
    """Train the demo model on drawn products; `vitrine model export` turns it into a model repository."""
    with _needs_export_extra():
        from vitrine.models.demo_clip import Recipe, train_demo

        recipe = Recipe(seed=seed, threads=threads)
        train_demo(output, recipe=replace(recipe, steps=steps or recipe.steps), workspace=workspace)


def verify_command(
    repository: Annotated[Path, typer.Argument(help="Folder of a model repository.")],
) -> None:
    """Check that the files of a model repository are the ones its contract names."""
    contract = ModelContract.load(repository)
    contract.verify_weights(repository)
    for model in (TEXT_MODEL, IMAGE_MODEL):
        config = repository / model / "config.pbtxt"
        if not config.is_file() or contract.fingerprint not in config.read_text(encoding="utf-8"):
            raise ModelInvalid(f"{config} is missing or does not carry the fingerprint {contract.fingerprint}.")
    console = Console(soft_wrap=True, highlight=False)
    for field in ("model", "precision", "dimension", "context_length"):
        console.print(f"{field}: {getattr(contract, field)}")
    console.print(f"fingerprint: {contract.fingerprint}\nAll hashes agree.")


@contextmanager
def _needs_export_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in {"huggingface_hub", "onnx", "onnxruntime", "safetensors", "torch", "transformers"}:
            raise
        typer.echo(f"This needs the export extra ({package} is missing): pip install 'vitrine[export]'.", err=True)
        raise typer.Exit(1) from None
