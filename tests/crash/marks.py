"""Secrets that must never be shown. Each is used in one place."""

#: The prefix of all secrets.
MARK = "MARK-"
#: A secret option of the backend.
OPTION = MARK + "option"
#: The secret in a volume's ``provider_auth``.
AUTH = MARK + "provider"
#: The CHAP password of a connection.
KEY = MARK + "chap"
#: The secret in the driver's initiator data.
INITIATOR = MARK + "initiator"
