"""The nouns of the command, a module each. What a verb needs of the library, it imports itself."""
