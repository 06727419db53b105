"""The messages and services of the Container Storage Interface."""
