"""Adds conf/ and data/ to the wheel. An editable install reads them from the clone instead."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BundleHook(BuildHookInterface):
    """Hatchling calls this before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add both folders to the package."""
        if version != "editable":
            build_data["force_include"] |= {"conf": "litmlp/conf", "data": "litmlp/data"}
