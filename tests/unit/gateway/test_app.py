import pytest

from vitrine.errors import SettingsInvalid
from vitrine.gateway.app import create_app
from vitrine.settings import Settings


def test_a_key_for_cursors_that_can_be_guessed_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(SettingsInvalid, match="CURSOR_KEY"):
        create_app(Settings.model_validate({"search": {"cursor_key": "short"}}))
