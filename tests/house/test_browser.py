"""The helper `Browser`: if the browser ends, the next call raises an error; `close` leaves no file descriptor open."""

import os

import pytest

from tests.helpers.browser import Browser, need_browser


@pytest.mark.slow
def test_call_raises_an_error_at_once_if_the_browser_has_ended():
    need_browser()
    before = len(os.listdir("/dev/fd"))
    browser = Browser()
    browser.process.kill()
    with pytest.raises((RuntimeError, BrokenPipeError)):
        browser.call("Runtime.evaluate", expression="1")
    browser.close()
    assert len(os.listdir("/dev/fd")) == before
