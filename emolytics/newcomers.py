"""What the trail tells of somebody's first sign-in: that there is a new user, and whose name it could not have."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row

from emolytics.audit import Client, Event, Record
from emolytics.times import iso
from emolytics.users import Provisioned


def records_of(person: Provisioned, backend: str, client: Client) -> Iterator[Record]:
    """The records to be written with a new user; none for one who was known already.

    A name that was taken is told of both users, so that each can be asked why there are two.
    """
    if not person.created:
        return
    yield Record(Event.USER_ADDED, client, person.username, backend, person.user_id, "first sign-in")
    taken = person.taken
    if taken is None:
        return
    newcomer = {"name": taken.name, "held_by": taken.username}
    yield Record(Event.NAME_TAKEN, client, person.username, backend, person.user_id, detail=newcomer)
    holder = {"name": taken.name, "wanted_by": person.username}
    yield Record(Event.NAME_TAKEN, client, taken.username, backend, taken.user_id, detail=holder)


def in_words(name_taken: Row[Any]) -> str:
    """A row of that event as a sentence for `emolytics user show`."""
    detail, came = json.loads(name_taken.detail), f"from {name_taken.backend} at {iso(name_taken.at)}"
    if "held_by" in detail:
        return f"came {came}, when {detail['held_by']} had the name {detail['name']}"
    return f"{detail['wanted_by']} came {came} and wanted the name {detail['name']}"
