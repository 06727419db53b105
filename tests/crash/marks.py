"""What must never be seen. Each is in one place."""

#: The start of all.
MARK = "MARK-"
#: A secret option of the backend.
OPTION = MARK + "option"
#: What the driver keeps of a volume in ``provider_auth``.
AUTH = MARK + "provider"
#: What the driver gives a host to log in with.
KEY = MARK + "chap"
#: What the driver keeps of an initiator in the store.
INITIATOR = MARK + "initiator"
