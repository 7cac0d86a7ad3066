"""How Sphinx builds these pages: `tox -e docs`."""

project = "Hourglass"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Hourglass"
html_static_path = []
myst_heading_anchors = 3
nitpicky = True
