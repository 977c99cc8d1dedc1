"""presets: named starting points as TOML files; `preset = "NAME"` lays one between the defaults and the operator's file."""
