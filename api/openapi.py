"""The OpenAPI document: what FastAPI derives, plus the security scheme and the shape of every error.

`python -m api.openapi` writes it to `api/openapi.json`, which SDKs are generated from and a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from api.auth import OPEN_PATHS
from api.errors import ErrorBody

DOCUMENT_FILE = Path(__file__).with_name("openapi.json")
SECURITY_SCHEME = "bearer"
_ERROR_CONTENT = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add to `document`, in place, what FastAPI cannot know; doing it twice changes nothing."""
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes[SECURITY_SCHEME] = {
        "type": "http",
        "scheme": "bearer",
        "description": "The value of BALLAST_API_TOKEN. Needed everywhere but at the health checks.",
    }
    document["security"] = [{SECURITY_SCHEME: []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN_PATHS:
                operation["security"] = []
            for status, response in operation["responses"].items():
                if status.isdecimal() and int(status) >= 400:
                    response.setdefault("content", _ERROR_CONTENT)
    return document


def render(document: dict[str, Any]) -> str:
    """The document as the file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the document of the present code."""
    from api.app import create_app
    from infra.runtime.settings import Settings

    DOCUMENT_FILE.write_text(render(create_app(Settings()).openapi()), encoding="utf-8")


if __name__ == "__main__":
    main()
