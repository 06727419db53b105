"""The one way to change storage: take the lock, record the intent, call the driver, record the
result.

Every verb is a function of plain records. It reads what matters from the store under the lock, so
that a stale object cannot do harm, refuses before anything is touched, and answers with the record
as stored and whether anything changed. :mod:`.journal` says what happens when a step fails or is
the last one before a crash; next to each verb stands the function that recovers it.
"""
