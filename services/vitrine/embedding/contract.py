"""The embedding contract: everything that must be equal for two vectors to be comparable.

`contract.json` lies in the model repository; its `fingerprint` also stands in both `config.pbtxt`s (so the live Triton
can be asked for it) and in each Milvus collection (so an index can be asked which model built it).
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from vitrine.errors import ContractMismatch, ModelInvalid

CONTRACT_FILE = "contract.json"
TOKENIZER_FILE = "tokenizer.json"
TEXT_MODEL = "clip_text"
IMAGE_MODEL = "clip_image"
FINGERPRINT_PARAMETER = "vitrine_fingerprint"
"""Key of the fingerprint in config.pbtxt's `parameters` and in a collection's properties."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImagePolicy(_Frozen):
    """How a picture becomes pixels. Everything that changes a pixel is in here, so that it changes the fingerprint."""

    policy: Literal[1, 2] = 1
    """Version of docs/image-policy.md: 2 decodes large JPEGs at a fraction of their size, 1 decodes all of them."""
    size: int = Field(224, ge=1, description="Height and width of the crop that the model sees.")
    resize: Literal["shortest_side"] = "shortest_side"
    interpolation: Literal["bicubic_antialias"] = "bicubic_antialias"
    crop: Literal["centre"] = "centre"
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


class ModelContract(_Frozen):
    """What the exporter promises about a model repository."""

    version: Literal[1] = 1
    model: str = Field(min_length=1, description="A name for people, such as openai/clip-vit-base-patch32.")
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    text_weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    image_weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    tokenizer_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    text_policy: Literal[1] = 1
    """Version of docs/text-policy.md; raised with every change there that can change a token."""
    context_length: int = Field(ge=3, description="Most token ids a text may have, both special tokens included.")
    text_buckets: tuple[int, ...] = Field(min_length=1, description="Lengths that ids are padded to, ascending.")
    image: ImagePolicy = ImagePolicy()
    dimension: int = Field(ge=1)
    normalised: Literal[True] = True
    metric: Literal["IP"] = "IP"

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits over every field above. Kept: every search asks for it several times, at 12 us each."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Pydantic's own, without the fingerprint that was kept for the original."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("fingerprint", None)
        return copied

    @classmethod
    def load(cls, repository: Path) -> "ModelContract":
        """Reads `contract.json` and checks it against its own recorded fingerprint and the tokenizer beside it.

        The weights are not hashed here (hundreds of megabytes at every start); `verify_weights` does that.

        Raises:
            ModelInvalid: no repository there, or the files do not belong together.
        """
        path = repository / CONTRACT_FILE
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            recorded = stored.pop("fingerprint")
            contract = cls.model_validate(stored)
        except FileNotFoundError:
            raise ModelInvalid(f"{repository} is no model repository: it has no {CONTRACT_FILE}.") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelInvalid(f"{path} cannot be read as a contract: {error}") from error
        if recorded != contract.fingerprint:
            raise ModelInvalid(
                f"{path} was edited: its fields give fingerprint {contract.fingerprint}, it records {recorded}."
            )
        tokenizer = repository / TOKENIZER_FILE
        if not tokenizer.is_file() or sha256_of(tokenizer) != contract.tokenizer_sha256:
            raise ModelInvalid(f"{tokenizer} is missing or is not the tokenizer that {CONTRACT_FILE} names.")
        return contract

    def write(self, repository: Path) -> None:
        """Writes `contract.json`, fingerprint included."""
        content = {"fingerprint": self.fingerprint, **self.model_dump(mode="json")}
        (repository / CONTRACT_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def verify_weights(self, repository: Path) -> None:
        """Hashes both ONNX files.

        Raises:
            ModelInvalid: a file is missing or differs from the contract.
        """
        for name, expected in ((TEXT_MODEL, self.text_weights_sha256), (IMAGE_MODEL, self.image_weights_sha256)):
            path = repository / name / "1" / "model.onnx"
            if not path.is_file() or sha256_of(path) != expected:
                raise ModelInvalid(f"{path} is missing or its sha256 is not the one {CONTRACT_FILE} records.")

    def require(self, fingerprint: str | None, owner: str) -> None:
        """Refuses to mix models.

        Args:
            fingerprint: what `owner` says it was built with; None when it says nothing.
            owner: "Triton's clip_text", "collection products_v1", ...; part of the message.

        Raises:
            ContractMismatch: naming both fingerprints.
        """
        if fingerprint != self.fingerprint:
            raise ContractMismatch(
                f"{owner} uses model fingerprint {fingerprint or 'none'}, "
                f"but the model repository here has {self.fingerprint}.",
                owner=owner,
                expected=self.fingerprint,
                found=fingerprint,
            )


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
