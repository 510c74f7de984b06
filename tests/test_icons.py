"""Every preset has a drawing of its own."""

from pathlib import Path

import pytest

from emolytics_oauth.presets import PRESETS

ICONS = Path(__file__).parent.parent / "emolytics" / "static" / "icons"


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_has_an_icon(preset: str) -> None:
    assert (ICONS / f"{preset}.svg").is_file()
