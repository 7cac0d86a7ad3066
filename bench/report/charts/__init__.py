"""Charts, one definition each: interactive in the page, SVG and PNG as files."""
