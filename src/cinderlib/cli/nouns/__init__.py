"""The nouns of the command, one module each. Verbs import the library's modules when they run."""
