"""Writes docs/asvs.md anew: `python -m tests.asvs`."""

from tests.asvs.page import PAGE, text

PAGE.write_text(text(), encoding="utf-8")
