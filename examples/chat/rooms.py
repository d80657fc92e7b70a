"""Rooms and who is in them. Knows nothing of ASGI: a member is a name and a queue of events to be sent."""

import asyncio
import time
from collections import deque
from itertools import count

#: Messages that a room remembers for those who come later.
HISTORY_MAX = 50
#: Rooms that are remembered; of those above it, the ones that nobody is in are forgotten.
ROOMS_MAX = 100
#: Events that wait for a member. One that takes so long to read them is let go, or it would cost ever more memory.
QUEUE_MAX = 200


class Member:
    """One client in one room."""

    def __init__(self, name):
        self.name = name
        self.events = asyncio.Queue(QUEUE_MAX)
        #: Set when the member has to go because it does not read.
        self.is_too_slow = asyncio.Event()

    def tell(self, event):
        """Queue an event; never waits, so that one slow member holds nobody else up."""
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            self.is_too_slow.set()


class Room:
    """A place where everybody hears what is said."""

    def __init__(self):
        self.members = {}
        self.history = deque(maxlen=HISTORY_MAX)

    def enter(self, wanted):
        """Add a member; a name that is taken gets a number."""
        names = (wanted if number == 1 else f"{wanted} {number}" for number in count(1))
        name = next(name for name in names if name not in self.members)
        member = Member(name)
        member.tell({"type": "welcome", "name": name, "history": list(self.history)})
        self.members[name] = member
        self._tell_all({"type": "joined", "name": name, "members": sorted(self.members)})
        return member

    def leave(self, member):
        """Take a member out."""
        del self.members[member.name]
        self._tell_all({"type": "left", "name": member.name, "members": sorted(self.members)})

    def say(self, member, text):
        """What a member says, all hear, itself too: so it sees when the server has it."""
        event = {"type": "said", "name": member.name, "text": text, "at": time.time()}
        self.history.append(event)
        self._tell_all(event)

    def _tell_all(self, event):
        for member in self.members.values():
            member.tell(event)


class Rooms:
    """All rooms, by name; one is made when somebody enters it."""

    def __init__(self):
        self._rooms = {}

    def enter(self, room_name, name):
        """Return the room and the new member."""
        # Put at the end: what is at the beginning was not entered for the longest time.
        room = self._rooms[room_name] = self._rooms.pop(room_name, None) or Room()
        member = room.enter(name)
        empty = [key for key, other in self._rooms.items() if not other.members]
        for key in empty[: max(0, len(self._rooms) - ROOMS_MAX)]:
            del self._rooms[key]
        return room, member
