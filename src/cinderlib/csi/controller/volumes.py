"""Create, delete, expand and validate volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi import arguments, capabilities, ids
from cinderlib.csi.arguments import GIB
from cinderlib.csi.capabilities import Capability
from cinderlib.csi.controller import groups, parameters, specs, topology
from cinderlib.csi.controller.capacity import refuse_unusable
from cinderlib.csi.controller.context import Context, mkfs_metadata
from cinderlib.csi.controller.parameters import Parameters, Specs
from cinderlib.csi.wire import messages as m
from cinderlib.errors import AlreadyExists, InvalidInput

#: A volume with one of these states is not finished: the library settles or repeats the creation.
_UNFINISHED = frozenset({"creating", "error", "deleting"})


def create(context: Context, request: Any) -> Any:
    """CreateVolume."""
    name = arguments.name(request)
    wanted = capabilities.of_all(request.volume_capabilities)
    given = parameters.of_volume(arguments.text_map(request, "parameters"))
    mutable = parameters.of_attributes(arguments.text_map(request, "mutable_parameters"))
    volume_id = ids.volume(context.settings.name, name)
    with context.pending.claim(volume_id):
        volume = _existing(context, volume_id)
        if volume is not None:
            _compare(context, volume, request, wanted, given, mutable)
        else:
            volume = _create(context, volume_id, name, request, wanted, given, mutable)
    return m.CreateVolumeResponse(volume=context.message(volume))


def _existing(context: Context, volume_id: str) -> cl.Volume | None:
    volume = context.find_volume(volume_id)
    return None if volume is None or volume.status in _UNFINISHED else volume


def _create(
    context: Context,
    volume_id: str,
    name: str,
    request: Any,
    wanted: Sequence[Capability],
    given: Parameters,
    mutable: Specs,
) -> cl.Volume:
    fields: dict[str, Any] = {
        "id": volume_id,
        "name": name,
        "metadata": context.metadata(name, **mkfs_metadata(given.mkfs_options)),
        "multiattach": any(each.several_nodes for each in wanted),
    }
    if given.pool is not None:
        fields["pool_name"] = given.pool
    source = _source(context, request)
    own = specs.of_new(context, given.specs, mutable, source)
    fields |= own
    if source is None:
        backend = context.backend(
            topology.choose(context.settings, context.backends, given.backend, request)
        )
        size = arguments.gib(request.capacity_range)
        specs.check(context, backend, own)
        return _created(backend, lambda: backend.create_volume(size, **fields))
    if given.backend is not None and given.backend != source.record.backend:
        raise InvalidInput(
            f"The source is on backend {source.record.backend!r}, and a copy cannot be on"
            f" {given.backend!r}."
        )
    topology.check_source(context.settings, source.record.backend, request)
    if isinstance(source, cl.Snapshot):
        smallest, copy = source.volume_size, source.create_volume
    else:
        smallest, copy = source.size, source.clone
    fields["size"] = _size_of_copy(request.capacity_range, smallest)
    backend = context.backend(source.record.backend)
    specs.check(context, backend, own)
    return _created(backend, lambda: copy(**fields))


def _created(backend: cl.Backend, create: Any) -> cl.Volume:
    """
    :raises InvalidInput: the backend does not support what the parameters request.
    :raises InvalidState: the backend creates no volumes now.
    """
    refuse_unusable(backend)
    try:
        created: cl.Volume = create()
    except errors.Unsupported as exc:
        raise InvalidInput(f"Backend {backend.id!r} cannot create this volume: {exc}") from exc
    return created


def _size_of_copy(capacity: Any, smallest: int) -> int:
    """:raises OutOfRange: the range does not include the size of the source."""
    needed = -(-capacity.required_bytes // GIB)
    if 0 < needed < smallest:
        raise errors.OutOfRange(
            f"The source has {smallest} GiB, and a copy cannot have {needed} GiB. Request at least"
            f" {smallest} GiB."
        )
    return arguments.gib(capacity, least=smallest, default=smallest)


def _source(context: Context, request: Any) -> cl.Volume | cl.Snapshot | None:
    """:raises NotFound: the source does not exist."""
    if not request.HasField("volume_content_source"):
        return None
    kind = request.volume_content_source.WhichOneof("type")
    if kind == "snapshot":
        source = request.volume_content_source.snapshot
        return context.snapshot(arguments.required(source, "snapshot_id"))
    if kind == "volume":
        source = request.volume_content_source.volume
        return context.volume(arguments.required(source, "volume_id"))
    raise InvalidInput("The volume_content_source has neither a snapshot nor a volume.")


def _compare(
    context: Context,
    volume: cl.Volume,
    request: Any,
    wanted: Sequence[Capability],
    given: Parameters,
    mutable: Specs,
) -> None:
    """:raises AlreadyExists: the volume with this name is not the requested one."""
    capacity, size = request.capacity_range, volume.size * GIB
    differences = []
    if capacity.required_bytes < 0 or capacity.limit_bytes < 0:
        raise InvalidInput("The capacity_range must not be negative.")
    if size < capacity.required_bytes or (capacity.limit_bytes and size > capacity.limit_bytes):
        differences.append(f"its size is {size} bytes")
    elif not _is_size_of(volume, request):
        differences.append(f"its size is {volume.size} GiB")
    source = request.volume_content_source
    if volume.snapshot_id != (source.snapshot.snapshot_id or None):
        differences.append(f"its source snapshot is {volume.snapshot_id or 'none'}")
    if volume.source_volid != (source.volume.volume_id or None):
        differences.append(f"its source volume is {volume.source_volid or 'none'}")
    if given.backend not in (None, volume.record.backend):
        differences.append(f"its backend is {volume.record.backend}")
    if given.pool not in (None, volume.host.partition("#")[2]):
        differences.append(f"its pool is {volume.host.partition('#')[2]}")
    if any(each.several_nodes for each in wanted) and not volume.multiattach:
        differences.append("it is for one node")
    if given.specs or not request.HasField("volume_content_source"):
        own = specs.of_new(context, given.specs, mutable, None)
        differences += specs.differences(volume, own)
        if not request.HasField("volume_content_source") and specs.has_other_encryption(
            volume, own
        ):
            differences.append("its encryption differs")
    elif mutable:
        # The other specs of a copy are inherited from a source that may not exist any more.
        differences += specs.differences(volume, specs.of_volume(volume, mutable))
    if not topology.is_reached(context.settings, volume.record.backend, request):
        differences.append(f"its backend {volume.record.backend} is elsewhere")
    if differences:
        raise AlreadyExists(
            f"Volume {volume.name!r} ({volume.id}) already exists, but {'; '.join(differences)}",
            resource=volume,
        )


def _is_size_of(volume: cl.Volume, request: Any) -> bool:
    """Whether the request would create a volume of this size, unless the volume was expanded."""
    needed = -(-request.capacity_range.required_bytes // GIB)
    return not needed or volume.size >= needed


def delete(context: Context, request: Any) -> Any:
    """DeleteVolume."""
    volume_id = arguments.required(request, "volume_id")
    with context.pending.claim(volume_id):
        volume = context.find_volume(volume_id)
        if volume is not None:
            groups.release(context, volume)
            volume.delete()
    return m.DeleteVolumeResponse()


def expand(context: Context, request: Any) -> Any:
    """ControllerExpandVolume."""
    volume_id = arguments.required(request, "volume_id")
    capacity = request.capacity_range
    if not request.HasField("capacity_range") or not (
        capacity.required_bytes or capacity.limit_bytes
    ):
        raise InvalidInput("The field capacity_range is missing.")
    if request.HasField("volume_capability"):
        capabilities.of(request.volume_capability)
    with context.pending.claim(volume_id):
        volume = context.volume(volume_id)
        size = arguments.gib(capacity, default=volume.size)
        if size > volume.size:
            volume.extend(size)
        elif capacity.limit_bytes and volume.size * GIB > capacity.limit_bytes:
            raise errors.OutOfRange(
                f"Volume {volume_id} already has {volume.size} GiB, more than the limit of"
                f" {capacity.limit_bytes} bytes; volumes cannot be shrunk."
            )
    return m.ControllerExpandVolumeResponse(
        capacity_bytes=volume.size * GIB, node_expansion_required=True
    )


def validate(context: Context, request: Any) -> Any:
    """ValidateVolumeCapabilities."""
    volume_id = arguments.required(request, "volume_id")
    if not request.volume_capabilities:
        raise InvalidInput("The field volume_capabilities is missing.")
    volume = context.volume(volume_id)
    response = m.ValidateVolumeCapabilitiesResponse()
    try:
        wanted = capabilities.of_all(request.volume_capabilities)
        parameters.of_volume(arguments.text_map(request, "parameters"))
        parameters.of_attributes(arguments.text_map(request, "mutable_parameters"))
        if any(each.several_nodes for each in wanted) and not volume.multiattach:
            raise InvalidInput("The volume was created for one node.")
    except InvalidInput as exc:
        response.message = str(exc)
        return response
    confirmed = response.confirmed
    confirmed.volume_capabilities.extend(request.volume_capabilities)
    confirmed.volume_context.update(request.volume_context)
    confirmed.parameters.update(request.parameters)
    confirmed.mutable_parameters.update(request.mutable_parameters)
    return response
