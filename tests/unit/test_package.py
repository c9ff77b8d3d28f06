"""The distribution's own name space."""

import subprocess
import sys

import pytest

import vitrine


@pytest.mark.parametrize("name", vitrine.__all__)
def test_what_a_shop_needs_is_at_the_top(name: str) -> None:
    import vitrine.client

    assert getattr(vitrine, name) is getattr(vitrine.client, name)


def test_another_name_is_an_ordinary_mistake() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        vitrine.Klient  # noqa: B018


def test_the_servers_do_not_pay_for_the_client() -> None:
    program = (
        "import sys, vitrine, vitrine.errors; print(sorted({'httpx', 'pydantic', 'vitrine.client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
