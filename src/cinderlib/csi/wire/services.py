"""The services of ``csi.proto``: their methods, and how gRPC serves and calls them."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf import message_factory

from cinderlib.csi.wire import messages


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of a service.

    :ivar service: such as ``'Controller'``.
    :ivar name: such as ``'CreateVolume'``.
    :ivar request: the class of the request.
    :ivar response: the class of the response.
    """

    service: str
    name: str
    request: Any
    response: Any

    @functools.cached_property
    def attribute(self) -> str:
        """The name of the Python method: ``'create_volume'``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.name).lower()

    @property
    def path(self) -> str:
        """The name in gRPC: ``'/csi.v1.Controller/CreateVolume'``."""
        return f"/csi.v1.{self.service}/{self.name}"


#: Service -> its methods.
METHODS: Mapping[str, tuple[Method, ...]] = {
    service.name: tuple(
        Method(
            service.name,
            method.name,
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
        )
        for method in service.methods
    )
    for service in messages.DESCRIPTOR.services_by_name.values()
}

#: The methods of all services by name.
BY_NAME = {method.name: method for methods in METHODS.values() for method in methods}

#: Called for each RPC: the method, its request and gRPC's context.
Call = Callable[[Method, Any, Any], Any]


def handler(service: str, call: Call) -> Any:
    """gRPC's handler of a service.

    :param call: answers all methods.
    """

    def unary(method: Method) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: call(method, request, context),
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )

    methods = {method.name: unary(method) for method in METHODS[service]}
    return grpc.method_handlers_generic_handler(f"csi.v1.{service}", methods)


class Stub:
    """Calls the methods of a service: ``Stub(channel, 'Identity').probe(ProbeRequest())``.

    :param channel: gRPC's channel to the plug-in.
    :param service: the name of the service.
    """

    def __init__(self, channel: Any, service: str) -> None:
        for method in METHODS[service]:
            call = channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            setattr(self, method.attribute, call)

    # Type checkers cannot know the attributes, which come from the description.
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the service has no method {name!r}")
