"""A transaction for tests of plans."""

from typing import Any, LiteralString

from psycopg.rows import TupleRow

from offhook.db import Tx


class Explaining(Tx):
    """Answers nothing: `nodes` are those of the plans by which PostgreSQL ran what was asked of it."""

    def __init__(self, tx: Tx) -> None:
        super().__init__(tx.connection, tx.tenant, tx.now, tx.wall)
        self.nodes: list[dict[str, Any]] = []

    async def rows(self, query: LiteralString, params: Any = None) -> list[TupleRow]:
        answer = await self.connection.execute(f"explain (analyze, timing off, format json) {query}", params)
        left = [plan["Plan"] for (plans,) in await answer.fetchall() for plan in plans]
        while left:
            node = left.pop()
            left += node.get("Plans", [])
            self.nodes.append(node)
        return []

    async def row(self, query: LiteralString, params: Any = None) -> TupleRow | None:
        await self.rows(query, params)
        return None
