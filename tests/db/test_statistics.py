"""Young tables are looked at while they grow, and left alone while they only change."""

from collections.abc import Callable, Iterator

import psycopg
import pytest


@pytest.fixture
def looks(database_url: str) -> Iterator[Callable[[str], int]]:
    """Do that to the table `young`, refresh, and say how often the table was analysed until now."""
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("create table young (n int)")

        def after(statement: str) -> int:
            owner.execute(statement.encode())
            owner.execute("select pg_stat_force_next_flush()")
            owner.execute("select refresh_statistics()")
            owner.execute("select pg_stat_force_next_flush()")
            row = owner.execute("select analyze_count from pg_stat_user_tables where relname = 'young'").fetchone()
            return int(row[0]) if row else 0

        yield after


def test_a_table_is_looked_at_each_time_it_has_grown_fourfold(looks: Callable[[str], int]) -> None:
    assert looks("insert into young select generate_series(1, 100)") == 0
    assert looks("insert into young select generate_series(101, 300)") == 1
    assert looks("insert into young select generate_series(301, 1200)") == 1
    assert looks("insert into young select generate_series(1201, 1300)") == 2


def test_a_table_that_only_changes_is_left_alone(looks: Callable[[str], int]) -> None:
    assert looks("insert into young select generate_series(1, 300)") == 1
    assert looks("update young set n = n + 1") == 1
    assert looks("delete from young where n > 10") == 1
