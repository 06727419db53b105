"""What a person is told who got something wrong."""

from __future__ import annotations

import pytest

import cinderlib as cl


def test_an_option_that_the_driver_itself_refuses_is_a_mistake_and_no_outage(
    controller: cl.Controller,
) -> None:
    with pytest.raises(cl.errors.ConfigurationError, match="'relative'") as caught:
        controller.backend("here", volume_driver="file", file_root="relative")
    assert not caught.value.retryable
    assert not controller.backends


def test_an_empty_connector_is_called_empty(backend: cl.Backend) -> None:
    volume = backend.create_volume(1)
    with pytest.raises(cl.errors.InvalidConnector, match="is empty"):
        volume.connect({})
