"""SqlStore: what control remembers, in SQL. One file beside this one for each aggregate.

Data flow: a method -> one transaction -> rows -> the nouns of `types.registry`. A call that
returned is on disk; a call that raised changed nothing. Only SQL that every database speaks
is used; what is particular to one lives in `sqlite` and `postgres`.
"""

from __future__ import annotations

from inferry.storage import postgres
from inferry.storage.aliases import Aliases
from inferry.storage.base import any_row
from inferry.storage.check import problems
from inferry.storage.endpoints import Endpoints
from inferry.storage.experiments import Experiments
from inferry.storage.feedback import Feedback
from inferry.storage.inputs import Inputs
from inferry.storage.keys import Keys
from inferry.storage.pipelines import Pipelines
from inferry.storage.repository import Repositories
from inferry.storage.retention import Retentions
from inferry.storage.rollouts import Rollouts
from inferry.storage.schema import open_database
from inferry.storage.tables import jobs
from inferry.storage.trials import Trials
from inferry.storage.versions import Versions
from inferry.storage.webhooks import Webhooks


def open_store(url: str, *, epoch: int = 0) -> SqlStore:
    """Open the database (made and migrated when needed): `sqlite:////home/me/.inferry/inferry.db`, or one of
    PostgreSQL's. `epoch`: the one in which this process leads; in another one it cannot write."""
    return SqlStore(open_database(url, epoch=epoch))


class SqlStore(
    Versions, Aliases, Trials, Retentions, Endpoints, Rollouts, Pipelines, Keys, Feedback, Inputs, Experiments,
    Webhooks, Repositories,
):  # fmt: skip
    """Every store of `interfaces` that keeps rows, on an engine whose schema is at the head. Safe to share between
    threads."""

    def check(self) -> list[str]:
        """Sentences about what is wrong; empty when all is well."""
        with self._reading() as connection:
            return problems(connection)

    def has_jobs(self) -> bool:
        """Whether there is anything for the jobs process to do."""
        with self._reading() as connection:
            return any_row(connection, jobs)

    @property
    def called(self) -> str:
        """Which database this is, for people; it need not answer."""
        return self._database.shown

    def place(self) -> str:
        """Which database this is, for people; it was asked just now."""
        with self._reading() as connection:
            if connection.dialect.name == "sqlite":
                return self._database.shown
            return f"{postgres.facts(connection)} at {self._database.shown}"

    def probe(self) -> None:
        """See that changes can be written. Raises what a change would raise."""
        with self._writing():
            pass
