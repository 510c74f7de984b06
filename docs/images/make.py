"""Take the pictures of the README anew: `.venv/bin/python -m docs.images.make`, with Debian's chromium and fonts-inter.

The pages are those of the demo's portal (examples/demo.py). The font stands for the system fonts that people's own
machines have.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from examples.demo import servers
from tests.browser.person import PASSWORD, signed_in
from tests.browser.portal_process import PortalProcess
from tests.upstreams.process import find_program

HERE = Path(__file__).parent
_PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include>/etc/fonts/fonts.conf</include>
  <match><edit name="family" mode="assign" binding="strong"><string>Inter</string></edit></match>
</fontconfig>
"""


def take(browser: Browser, portal: PortalProcess) -> None:
    def page(width: int, height: int, **options: Any) -> Page:
        size: ViewportSize = {"width": width, "height": height}
        return browser.new_context(base_url=portal.url, viewport=size, **options).new_page()

    for scheme in ("light", "dark"):
        login = page(600, 760, color_scheme=scheme, device_scale_factor=1.25)
        login.goto("/login")
        login.get_by_label("User name").fill("ada")
        login.screenshot(path=HERE / f"login-{scheme}.png")
    signed_in(page(390, 844, user_agent=_PHONE), "ada")
    account = signed_in(page(1120, 900), "ada")
    account.goto("/account")
    account.screenshot(path=HERE / "account.png", full_page=True)


def main() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as fonts:
        fonts.write(_FONTS)
        fonts.flush()
        portal = PortalProcess()
        with servers(portal.url) as portal.settings, portal, sync_playwright() as playwright:
            about = {"display_name": "Ada Lovelace", "email": "ada@example.com"}
            portal.add_user("ada", PASSWORD, groups=("admins",), **about)
            browser = playwright.chromium.launch(
                executable_path=find_program("chromium"),
                args=["--no-sandbox", "--disable-gpu"],
                env={**os.environ, "FONTCONFIG_FILE": fonts.name},
            )
            take(browser, portal)
            browser.close()


if __name__ == "__main__":
    main()
