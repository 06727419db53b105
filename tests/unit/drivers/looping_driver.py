"""A driver that renews its login in the background for as long as it lives, like PowerFlex's."""

import threading

from oslo_service import loopingcall

from cinderlib.drivers.file.driver import FileDriver


class LoopingDriver(FileDriver):
    def do_setup(self, context):
        super().do_setup(context)
        self.renewals = threading.Semaphore(0)
        loopingcall.DynamicLoopingCall(self.renew).start()

    def renew(self):
        self.renewals.release()
        return 0.01

    def is_renewing(self):
        """Whether the login is renewed a few times within a second."""
        return all(self.renewals.acquire(timeout=1) for _ in range(3))


class UnreachableDriver(LoopingDriver):
    def check_for_setup_error(self):
        raise ConnectionRefusedError("no array here")
