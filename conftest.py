"""What all tests have, those in tests/ and those in lab/: the choice of a part of them."""

pytest_plugins = ["checks.selection"]
