"""Invalid input is refused before any change, with a helpful message."""

import contextlib
import math
import pathlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinderlib import validation as v
from cinderlib import value_checks
from cinderlib.errors import ConfigurationError, InvalidConnector, InvalidInput

UUID = "6b5e4c1e-4f6a-4d84-9c1e-0f3a7f1f2b3c"

# fmt: off
NO_IDS = [
    "", ".", "..", "../../x", "a/b", "a..b", "-rf", ".hidden", "a b", "a\0b", "a\n", "ä", "x" * 256,
    "volume-%s", "a;b", "$(id)", "\ud800", None, 7, True, b"abc", ["a"],
]
NO_SIZES = [
    0, -1, 0.0, -0.5, "0", "-1", "", "x", "5GiB", "1e3", "\u0663", None, True, False, [], {}, b"1",
    math.nan, math.inf, -math.inf, 2**31, 2**31 - 0.5, 10**6000, -(10**6000), "9" * 6000,
]
NO_METADATA = [
    [("a", "b")], "a=b", {1: "a"}, {"": "a"}, {"a": None}, {"a": ["b"]}, {"a": {"b": "c"}},
    {"k" * 256: "v"}, {"k": "v" * 65536}, {"a": 10**6000}, {"a": "\ud800"},
]
NO_BACKEND_NAMES = [
    "", " ", " a", "a ", "a@b", "a#b", "a/b", ".", "..", "a\nb", "a\0b", "x" * 256, "\ud800",
    "DEFAULT", "default", "database", "Coordination", "backend_defaults", None, 5,
]
# fmt: on


def kind(value):
    """A short name for a test case, whose value may be too long."""
    return type(value).__name__


@pytest.mark.parametrize("value", [UUID, UUID.upper(), UUID.replace("-", "")])
def test_ids_are_unchanged(value):
    assert v.check_id(value, "volume") == value


def test_a_uuid_object_is_an_id():
    assert v.check_id(uuid.UUID(UUID), "volume") == UUID


def test_other_ids_require_the_option():
    with pytest.raises(InvalidInput, match="non_uuid_ids"):
        v.check_id("vol-1", "volume")
    assert v.check_id("vol-1.a:b_c", "volume", non_uuid_ids=True) == "vol-1.a:b_c"


@pytest.mark.parametrize("value", NO_IDS, ids=kind)
def test_unsafe_ids_are_refused(value):
    with pytest.raises(InvalidInput, match="volume ID"):
        v.check_id(value, "volume", non_uuid_ids=True)


@pytest.mark.parametrize(
    ("value", "size"),
    [(1, 1), (1.5, 2), (2.0, 2), (0.001, 1), ("5", 5), (" 5 ", 5), ("1.25", 2), (2**31 - 1,) * 2],
)
def test_a_size_is_whole_gib_rounded_up(value, size):
    result = v.check_size(value)
    assert (result, type(result)) == (size, int)


@pytest.mark.parametrize("value", NO_SIZES, ids=kind)
def test_invalid_sizes_are_refused(value):
    with pytest.raises(InvalidInput, match="size") as error:
        v.check_size(value)
    assert len(str(error.value)) < 200


@given(st.integers() | st.floats() | st.text() | st.booleans() | st.none() | st.binary())
def test_a_size_is_in_range_or_refused(value):
    with contextlib.suppress(InvalidInput):
        assert 1 <= v.check_size(value) <= v.MAX_SIZE


def test_a_missing_name_is_the_empty_name():
    assert v.check_name(None) == v.check_description(None) == ""
    assert v.check_name("über") == "über"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x" * 256, "256 characters; the maximum is 255"),
        ("a\0b", "NUL"),
        ("ab\ud800", "character 3 is half of a surrogate pair"),
        (5, "must be text"),
    ],
)
def test_names_that_a_store_cannot_keep_are_refused(value, words):
    with pytest.raises(InvalidInput, match=words):
        v.check_name(value)


def test_metadata_is_copied_with_string_values():
    given = {"a": "b", "n": 5, "f": 1.5, "t": True}
    assert v.check_metadata(given) == {"a": "b", "n": "5", "f": "1.5", "t": "True"}
    assert v.check_metadata(given) is not given
    assert v.check_metadata(None) == {}


@pytest.mark.parametrize("value", NO_METADATA, ids=kind)
def test_invalid_specs_are_refused(value):
    with pytest.raises(InvalidInput, match="extra_specs"):
        v.check_specs(value)


def test_messages_do_not_show_the_values_of_specs():
    with pytest.raises(InvalidInput) as error:
        v.check_specs({"key": ["s3cret"]})
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("value", ["lvm", "lvm_iscsi", "ceph-1", "Lager Süd", "a.b"])
def test_backend_names(value):
    assert v.check_backend_name(value) == value


@pytest.mark.parametrize("value", NO_BACKEND_NAMES, ids=kind)
def test_ambiguous_backend_names_are_refused(value):
    with pytest.raises(ConfigurationError, match="volume_backend_name"):
        v.check_backend_name(value)


@pytest.mark.parametrize("value", ["h@b", "h@b#p", "h.example.com@lvm#lvm", "h@nfs#srv:/export/1"])
def test_valid_hosts_of_volumes(value):
    assert v.check_host(value) == value


@pytest.mark.parametrize("value", ["", "h", "h@", "@b", "h@b#", "h b@c", "h@b@c", "a/b@c", None])
def test_invalid_hosts_of_volumes(value):
    with pytest.raises(InvalidInput, match="host"):
        v.check_host(value)


@pytest.mark.parametrize("value", ["", "a b", "a@b", "a#b", "a/b", None])
def test_invalid_host_names(value):
    with pytest.raises(InvalidInput, match="host"):
        v.check_host_name(value)


def test_a_connector_is_copied_deeply():
    given = {"host": "h", "initiator": "iqn.x", "wwpns": ["1", "2"], "multipath": True, "ip": None}
    copy = v.check_connector(given)
    assert copy == given
    copy["wwpns"].append("3")
    assert given["wwpns"] == ["1", "2"]


@pytest.mark.parametrize("value", [None, {}, [], "host", {1: 2}, {"a": object()}, {"a": {1}}])
def test_invalid_connectors(value):
    with pytest.raises(InvalidConnector):
        v.check_connector(value)


@pytest.mark.parametrize("value", [math.nan, 2**63, "\ud800", "\0", {"b": {"c": b""}}], ids=kind)
def test_a_connector_must_be_serializable_as_json(value):
    with pytest.raises(InvalidConnector):
        v.check_connector({"a": value})


def test_a_deeply_nested_connector_is_refused():
    connector = {}
    connector["self"] = connector
    with pytest.raises(InvalidConnector, match="levels deep"):
        v.check_connector(connector)


def test_an_invalid_choice_lists_the_valid_ones():
    with pytest.raises(InvalidInput, match=r"'sleeping'\. Choose one of: attached, attaching"):
        value_checks.check_choice("sleeping", v.ATTACH_STATUSES, "status")


def test_long_values_are_shortened_in_messages():
    with pytest.raises(InvalidInput) as error:
        v.check_id("x" * 10_000, "volume")
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("value", ["no", "", "false", 2, 0.0, [], object()], ids=kind)
def test_only_a_boolean_is_a_flag(value):
    with pytest.raises(InvalidInput, match="must be True or False"):
        value_checks.check_flag(value, "force")


@pytest.mark.parametrize("value", [True, False, None, 0, 1])
def test_a_flag_becomes_a_boolean(value):
    assert value_checks.check_flag(value, "force") is bool(value)


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "x" * 4096, b"x", 3, None], ids=kind)
def test_what_no_path_can_be(value):
    with pytest.raises(InvalidInput, match="state_path"):
        value_checks.check_path(value, "state_path")


def test_a_path_may_have_bytes_that_are_not_text():
    assert value_checks.check_path(pathlib.Path("a\udcff"), "state_path") == "a\udcff"


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 10**400, "5", True], ids=kind)
def test_what_no_number_of_seconds_can_be(value):
    with pytest.raises(InvalidInput, match="lock_timeout"):
        value_checks.check_seconds(value, "lock_timeout")


def test_an_option_that_is_not_plain_data_is_named():
    with pytest.raises(ConfigurationError, match="option san_ip") as error:
        v.check_options({"driver": "x", "san_ip": {"a", "set"}}, "driver options")
    assert error.value.resource == "san_ip"
