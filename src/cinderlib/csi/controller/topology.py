"""Which nodes reach which backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cinderlib.csi.failures import Exhausted
from cinderlib.csi.settings import Settings


def is_in(place: Mapping[str, str], requested: Mapping[str, str]) -> bool:
    """Whether the nodes of a place include those of the requested segments."""
    return all(requested.get(key) == value for key, value in place.items())


def reaches(settings: Settings, backend: str, requested: Mapping[str, str]) -> bool:
    """Whether nodes with these segments reach a backend."""
    places = settings.backend_topology.get(backend)
    return places is None or any(is_in(place, requested) for place in places)


def is_reached(settings: Settings, backend: str, request: Any) -> bool:
    """Whether a backend is reached from one of the places that a request permits."""
    requisite = request.accessibility_requirements.requisite
    return not requisite or any(
        reaches(settings, backend, dict(each.segments)) for each in requisite
    )


def choose(
    settings: Settings, backends: Sequence[str], wanted: str | None, request: Any
) -> str | None:
    """The backend of a new volume.

    :param wanted: the backend of the parameters.
    :returns: its name; ``None`` if the request does not limit the choice.
    :raises Exhausted: none is reached from the requested places.
    """
    requirements = request.accessibility_requirements
    if not requirements.requisite and not requirements.preferred:
        return wanted
    candidates = [wanted] if wanted is not None else list(backends)
    possible = [each for each in candidates if is_reached(settings, each, request)]
    if not possible:
        raise Exhausted(
            f"No backend ({', '.join(candidates)}) is reached from the requested topology:"
            f" {'; '.join(_shown(each) for each in requirements.requisite)}"
        )
    for preferred in requirements.preferred:
        for backend in possible:
            if reaches(settings, backend, dict(preferred.segments)):
                return backend
    return possible[0]


def check_source(settings: Settings, backend: str, request: Any) -> None:
    """:raises Exhausted: copies on the backend of the source are not reached from the requested
    places."""
    if not is_reached(settings, backend, request):
        raise Exhausted(
            f"The source is on backend {backend}, which is not reached from the requested topology"
        )


def _shown(topology: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(topology.segments.items()))
