"""`/docs`: the API's description to read and to try, from this server alone.

A browser behind a firewall must need nothing else, and a page into which keys are typed must run no script of somebody
else's server: what draws it is installed with Offhook, and its policy forbids the browser to ask anyone but us.
"""

from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

_PACKAGE = "fastapi-offline"  # it keeps Swagger UI in a wheel; nothing else of it is used
_RELEASE = version(_PACKAGE)
_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
# `validatorUrl`: by default Swagger UI sends the address of the description to its maker.
_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null})'
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Offhook API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/assets/{_RELEASE}/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="docs/assets/{_RELEASE}/swagger-ui-bundle.js"></script>
<script>{_START}</script>
</body>
</html>
"""
_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' 'sha256-{b64encode(sha256(_START.encode()).digest()).decode()}'",
        "style-src 'self' 'unsafe-inline'",  # it sets styles on elements as it draws them
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def docs_router() -> APIRouter:
    """The page, and the two files that draw it, which a browser keeps until another release names others."""
    api = APIRouter(include_in_schema=False)

    @api.get("/docs")
    async def page() -> Response:
        return HTMLResponse(_PAGE, headers={"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY})

    @api.get("/docs/assets/{release}/{name}")
    async def asset(release: str, name: str) -> Response:
        if release != _RELEASE or name not in _ASSETS:
            raise HTTPException(404)
        file = str(files("fastapi_offline") / "static" / name)
        for_good = {"Cache-Control": "public, max-age=31536000, immutable"}
        return FileResponse(file, headers=for_good, media_type=_ASSETS[name])

    return api
