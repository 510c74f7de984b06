"""The accessibility rules of axe-core, run on the page that a browser shows."""

from typing import Any

from playwright.sync_api import Page

from tests.upstreams.install import HERE

_SCRIPT = HERE / "node_modules" / "axe-core" / "axe.min.js"


def violations(page: Page) -> list[str]:
    """Each rule that is broken, with where; best practices count too."""
    # Evaluated by the debugger, where the page's content security policy does not stand in its way.
    page.evaluate(_SCRIPT.read_text())
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [_told(rule) for rule in found["violations"]]


def _told(rule: dict[str, Any]) -> str:
    places = [f"{' '.join(node['target'])}: {node['failureSummary']}" for node in rule["nodes"]]
    return f"{rule['id']} ({rule['impact']}): {'; '.join(places)}"
