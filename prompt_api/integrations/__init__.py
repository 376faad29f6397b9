"""The protocols of other tools, one folder for each tool."""
