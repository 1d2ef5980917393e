"""What libraries log never brings a person into our log."""

import logging
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from offhook.cli import foreign_logs

SECRET = "maria@example.com"


@pytest.fixture(autouse=True)
def _root_handlers() -> Iterator[None]:
    before = logging.root.handlers
    yield
    logging.root.handlers = before


def test_a_library_is_retold_without_its_arguments_and_exceptions_text() -> None:
    foreign_logs.retell()

    with capture_logs() as told:
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("uvicorn.error").exception("while answering %s", SECRET)

    (line,) = told
    assert (line["said"], line["error"]) == ("while answering %s", "ValueError")
    assert SECRET not in repr(line)
