"""One writer for all requests: what waits together is committed together.

A commit waits for the disk; a hundred participants who answer at once wait for one commit, not for
a hundred. A request is answered only after the commit that holds its change.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hdbench.study.answers.database import unusable

Value = TypeVar("Value")
#: Reads and changes the database within a transaction; raising undoes its changes alone.
Work = Callable[[sqlite3.Connection], Value]


class Writer:
    """Carries out work on a database, in batches, in the order in which it came."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._waiting: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, work: Work[Value]) -> Value:
        """Return what work returns, once it is on disk; raises what it raises.

        Raises:
            StorageError: the change could not be written; nothing of it was kept.
        """
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            works = [work for work, _ in batch]
            try:
                outcomes = await asyncio.to_thread(self.commit, works)
            except BaseException as error:  # nobody may wait forever
                outcomes = [(None, error)] * len(batch)
            for (_, future), (value, error) in zip(batch, outcomes, strict=True):
                if future.done():  # whoever asked is gone
                    continue
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)

    def commit(self, works: list[Work[Any]]) -> list[tuple[Any, BaseException | None]]:
        """Carry out work in one transaction; return for each its value, or its error."""
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for work in works:
                outcomes.append(self._one(work))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return [(None, unusable(self._path, error)) for _ in works]
        return outcomes

    def _one(self, work: Work[Any]) -> tuple[Any, BaseException | None]:
        self._connection.execute("SAVEPOINT work")
        try:
            value = work(self._connection)
        except sqlite3.OperationalError:  # a full disk concerns all of them
            raise
        except Exception as error:
            self._connection.execute("ROLLBACK TO work")
            self._connection.execute("RELEASE work")
            return None, error
        self._connection.execute("RELEASE work")
        return value, None
