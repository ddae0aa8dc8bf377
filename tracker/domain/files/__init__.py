"""Rules about the files of a translation: states, keys, allowed hosts."""
