"""The archive: downloads the files of finished translations, and keeps them under names for people."""
