"""Virtual machines with real storage, and scenarios that run in them. See docs/lab.md."""
