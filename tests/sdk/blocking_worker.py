"""Be a worker whose function blocks the whole process until somebody writes to a pipe: ``NATS_URL``, a pipe."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from agent_sdk import Job, Worker, connect


async def main(pipe: Path) -> None:
    """Work until killed; say when the function has begun."""
    async with connect() as agent:
        worker = Worker(agent)

        @worker.task(skills={"python"}, price_per_hour=10)
        async def block(job: Job) -> str:
            print(f"began {job.task.id} with token {job.fencing_token}", flush=True)  # noqa: T201 - a test reads it
            with pipe.open(encoding="utf-8") as lines:
                return lines.readline().strip()

        await worker.run()


if __name__ == "__main__":
    logging.basicConfig(level="WARNING", format="%(name)s %(levelname)s %(message)s")
    asyncio.run(main(Path(sys.argv[1])))
