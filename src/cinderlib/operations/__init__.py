"""All operations that change storage: lock, record the intent, call the driver, record the result.

An operation is a function of records. It reads the current records under the lock, because the
caller's can be stale. It checks its arguments before any change. It returns the stored record, and
whether this call changed it. :mod:`.journal` handles failures and crashes; the function that
recovers an operation follows it in the same module.
"""
