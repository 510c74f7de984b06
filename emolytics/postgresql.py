"""PostgreSQL's driver, with an end to its waiting.

The server's `statement_timeout` and the network's time-outs end nothing when the server's process is frozen:
its kernel still answers for it.
"""

from typing import Any

import psycopg
from sqlalchemy import Engine, event


def give_up_after(engine: Engine, seconds: float) -> None:
    """Have every connection of this engine closed when the server is silent for so long within a statement."""

    class Connection(psycopg.Connection[Any]):
        def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            options.setdefault("timeout", seconds)
            try:
                return super().wait(gen, *arguments, **options)
            except psycopg.OperationalError as error:
                if error.sqlstate is None:  # not the server's word
                    self.close()  # its answer may still come, and would be taken for the next statement's
                raise

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        return Connection.connect(*arguments, **options)
