"""Chooses how many runs are trained together."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litmlp.populations.member import Member

MOST = 64  # with more, the members' weights and gradients no longer stay in a core's caches


def most_members(member: "Member") -> int:
    """Return how many runs like this one are trained together at most."""
    return MOST
