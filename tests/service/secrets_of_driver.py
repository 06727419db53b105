"""The secrets that ``secret_driver.py`` has, as constants: importing that module imports Cinder."""

#: In the configuration, and in the message of each error of the driver.
PASSWORD = "configured-S3cret-f1c7"
#: Of a volume, in the store.
CHAP = "of-the-volume-S3cret-a90e"
#: Of a connection, which its host needs.
KEY = "of-the-connection-S3cret-77d2"
