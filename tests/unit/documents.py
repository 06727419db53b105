"""Generates all kinds of valid records for the tests of documents."""

import datetime
import pathlib

from hypothesis import strategies as st

from cinderlib import validation as v
from cinderlib.records import ConnectionRecord, Secret, SnapshotRecord, VolumeRecord

CINDERLIB5 = pathlib.Path(__file__).parent.parent / "data" / "cinderlib5"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
words = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)
ids = st.uuids().map(str) | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,30}", fullmatch=True)
times = st.datetimes(
    min_value=datetime.datetime(1970, 1, 2),
    max_value=datetime.datetime(2200, 1, 1),
    timezones=st.just(datetime.UTC),
)
mappings = st.dictionaries(texts.filter(bool), texts, max_size=3)
sizes = st.integers(1, v.MAX_SIZE)
scalars = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | texts
plain = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
secrets = st.none() | texts.filter(bool).map(Secret)
conn_infos = st.fixed_dictionaries(
    {"driver_volume_type": words, "data": st.dictionaries(texts, plain, max_size=3)}
)
connectors = st.fixed_dictionaries({"host": words}, optional={"ip": texts, "wwpns": plain})


def optional(strategy):
    return st.none() | strategy


@st.composite
def volumes(draw, backend="array"):
    fields = {
        "host": draw(words) + f"@{backend}#pool",
        "name": draw(texts),
        "description": draw(texts),
        "status": draw(st.sampled_from(sorted(v.VOLUME_STATUSES))),
        "attach_status": draw(st.sampled_from(sorted(v.ATTACH_STATUSES))),
        "bootable": draw(st.booleans()),
        "multiattach": draw(st.booleans()),
        "metadata": draw(mappings),
        "admin_metadata": draw(mappings),
        "extra_specs": draw(mappings),
        "qos_specs": draw(mappings),
        "source_volid": draw(optional(ids)),
        "snapshot_id": draw(optional(ids)),
        "volume_type_id": draw(optional(ids)),
        "provider_id": draw(optional(texts)),
        "provider_location": draw(optional(texts)),
        "provider_auth": draw(secrets),
        "launched_at": draw(optional(times)),
        "created_at": draw(optional(times)),
        "updated_at": draw(optional(times)),
        "version": draw(st.integers(0, 2**40)),
    }
    return VolumeRecord(id=draw(ids), backend=backend, size=draw(sizes), **fields)


@st.composite
def snapshots(draw, backend="array", volume_id=None):
    return SnapshotRecord(
        id=draw(ids),
        backend=backend,
        volume_id=volume_id or draw(ids),
        volume_size=draw(sizes),
        name=draw(texts),
        status=draw(st.sampled_from(sorted(v.SNAPSHOT_STATUSES))),
        metadata=draw(mappings),
        provider_location=draw(optional(texts)),
        provider_auth=draw(secrets),
        created_at=draw(optional(times)),
    )


@st.composite
def connections(draw, backend="array", volume_id=None):
    return ConnectionRecord(
        id=draw(ids),
        backend=backend,
        volume_id=volume_id or draw(ids),
        connector=draw(connectors),
        conn_info=draw(optional(conn_infos.map(Secret))),
        device=draw(optional(st.dictionaries(texts, plain, max_size=3).map(Secret))),
        status=draw(st.sampled_from(sorted(v.ATTACH_STATUSES))),
        attach_mode=draw(st.sampled_from(sorted(v.ATTACH_MODES))),
        attached_host=draw(optional(texts)),
        use_multipath=draw(st.booleans()),
        scan_attempts=draw(st.integers(1, 100)),
        attached_at=draw(optional(times)),
    )
