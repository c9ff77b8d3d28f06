import re
from pathlib import Path

import pytest

from tests.harness.planted import PlantedCatalogue, plant

DOCUMENT = Path(__file__).parents[3] / "docs" / "catalogues.md"
NOT_OF_A_CATALOGUE_IN_CSV = {"embedding_invalid"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PlantedCatalogue:
    return plant(tmp_path_factory.mktemp("planted") / "shop", rows=250, seed=3, pictures=4)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every regular file's bytes by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_seed_makes_the_same_catalogue_again(planted: PlantedCatalogue, tmp_path: Path) -> None:
    again = plant(tmp_path / "shop", rows=250, seed=3, pictures=4)
    assert again.account == planted.account
    assert files_of(again.folder) == files_of(planted.folder)
    assert plant(tmp_path / "other", rows=250, seed=4, pictures=4).account != planted.account


def test_there_are_as_many_records_as_asked_for(planted: PlantedCatalogue) -> None:
    assert planted.account.read == 250
    assert sum(planted.account.by_code.values()) == len(planted.account.rejected)


def test_every_reason_for_a_rejection_is_planted(planted: PlantedCatalogue) -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("| code | meaning |")[2].partition("\n\n")[0]
    documented = {
        code for row in table.splitlines() if row for code in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])
    }
    assert len(documented) > 15
    assert set(planted.account.by_code) == documented - NOT_OF_A_CATALOGUE_IN_CSV


def test_every_good_product_has_a_picture_and_some_pictures_have_no_product(planted: PlantedCatalogue) -> None:
    there = {path.stem for path in planted.folder.glob("images/*/*.jpg")}
    assert set(planted.account.written) <= there
    assert set(planted.account.written.values()) <= set(range(len(planted.pictures)))
    assert planted.account.planted["picture without a row"] > 0


def test_too_few_rows_for_every_defect_and_a_folder_that_exists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows from 200"):
        plant(tmp_path / "small", rows=199)
    with pytest.raises(FileExistsError):
        plant(tmp_path, rows=250)
