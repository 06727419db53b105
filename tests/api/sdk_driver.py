"""A driver that needs a vendor's package of a certain version."""

from __future__ import annotations

import array_sdk  # a module that the test makes

from cinderlib.drivers.file.driver import FileDriver


class SdkDriver(FileDriver):
    def sdk_version(self) -> str:
        return str(array_sdk.VERSION)
