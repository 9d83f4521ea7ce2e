"""procrastinate. By default its worker runs one job at a time. `best` follows its notes on
concurrency: many asynchronous jobs at once, with about as many connections.
"""

import asyncio
import os
from collections.abc import Sequence

import procrastinate
import protocol


def app_with(**pool: int) -> procrastinate.App:
    """An app whose only task does nothing but say that it runs."""
    connector = procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"], **pool)
    app = procrastinate.App(connector=connector)

    @app.task(name="nothing")
    async def nothing(n: int) -> None:
        Procrastinate.start(n)

    return app


class Producer:
    def __init__(self, app: procrastinate.App) -> None:
        self.task = app.tasks["nothing"]

    async def enqueue(self, number: int) -> None:
        await self.task.defer_async(n=number)

    async def enqueue_bulk(self, numbers: Sequence[int]) -> None:
        await self.task.batch_defer_async(*({"n": number} for number in numbers))


class Procrastinate:
    presets = {"defaults": {}, "best": {"concurrency": 30}}
    start: protocol.Start

    async def install(self, settings: protocol.Settings) -> None:
        async with app_with().open_async() as app:
            await app.schema_manager.apply_schema_async()

    async def connect(self, settings: protocol.Settings) -> Producer:
        app = app_with(min_size=1, max_size=1)
        await app.open_async()
        return Producer(app)

    async def work(self, settings: protocol.Settings, start: protocol.Start) -> None:
        Procrastinate.start = staticmethod(start)
        pool = {"min_size": 10, "max_size": settings["concurrency"]} if settings else {}
        async with app_with(**pool).open_async() as app:
            await app.run_worker_async(**settings)


if __name__ == "__main__":
    asyncio.run(protocol.run(Procrastinate()))
