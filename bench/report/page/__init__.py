"""The page: one file that opens offline, in any browser."""
