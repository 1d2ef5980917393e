"""The page that shows the API needs this server and no other."""

import re
from typing import Any
from urllib.parse import urljoin

import pytest

ASSET = re.compile(r'(?:src|href)="(?!data:)([^"]+)"')


@pytest.fixture
def browser(app: Any, client_of: Any) -> Any:
    """Somebody without a key."""
    return client_of(app)


async def test_the_docs_are_drawn_by_this_server_alone(browser: Any) -> None:
    page = await browser.get("/docs")

    text = page.content.decode()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "//" not in text
    kinds = {}
    for path in ASSET.findall(text):
        asset = await browser.get(urljoin("/docs", path))
        kinds[path.rpartition("/")[2]] = (asset.status, asset.headers["content-type"], len(asset.content) > 100_000)
    assert kinds == {
        "swagger-ui.css": (200, "text/css; charset=utf-8", True),
        "swagger-ui-bundle.js": (200, "text/javascript; charset=utf-8", True),
    }


async def test_the_styles_of_the_docs_load_nothing_from_elsewhere(browser: Any) -> None:
    (path,) = [path for path in ASSET.findall((await browser.get("/docs")).content.decode()) if path.endswith(".css")]

    styles = (await browser.get(urljoin("/docs", path))).content.decode()

    assert "@import" not in styles
    assert {url[:5] for url in re.findall(r"url\(\s*[\"']?([^)]+)", styles)} == {"data:"}


async def test_the_browser_is_forbidden_to_ask_anyone_else(browser: Any) -> None:
    rules = (await browser.get("/docs")).headers["content-security-policy"]

    assert "default-src 'none'" in rules
    assert "connect-src 'self'" in rules
    assert "//" not in rules


async def test_a_browser_keeps_the_files_of_a_release_and_asks_for_the_page_again(browser: Any) -> None:
    page = await browser.get("/docs")
    assets = [await browser.get(urljoin("/docs", path)) for path in ASSET.findall(page.content.decode())]

    assert page.headers["cache-control"] == "no-cache"
    assert {asset.headers["cache-control"] for asset in assets} == {"public, max-age=31536000, immutable"}


@pytest.mark.parametrize("path", ["0/swagger-ui.css", "{release}/redoc.standalone.js", "{release}/..%2Fcore.py"])
async def test_nothing_else_of_the_package_is_served(browser: Any, path: str) -> None:
    page = (await browser.get("/docs")).content.decode()
    (release,) = set(re.findall(r"docs/assets/([^/]+)/", page))

    reply = await browser.get(f"/docs/assets/{path.format(release=release)}")

    assert (reply.status, reply.json["code"]) == (404, "no_such_path")
