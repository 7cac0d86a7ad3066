"""Runs in the formats of other tools, one file per format; a format imports its tool's library when it is asked for."""
