"""The parts that specs are made of: entries of a study, the code and packages that a job runs."""

from collections.abc import Iterable
from functools import cache, cached_property

from joulegrid.records import ROOT, digest
from joulegrid.study import packages
from joulegrid.study.code import Source
from joulegrid.study.job import Part, part
from joulegrid.study.methods import METHODS, Method, roots
from joulegrid.study.study import Study

# What of the protocol determines no session's result
UNSPECIFIC = ("sessions", "record", "infeasible")
NOTHING: frozenset[str] = frozenset()


class Parts:
    """Parts of the specs of one study, each made once: `entry(axis, label, without)`,
    `code(calls, used, environment)`.
    """

    def __init__(self, study: Study):
        self.study = study
        # digest -> what it stands for: definitions and their digests, or packages and their
        # versions
        self.listings: dict[str, dict[str, str]] = {}
        self._source = Source()
        self.entry = cache(self._entry)
        self.code = cache(self._code)

    def method(self, axis: str, label: str) -> Method:
        """What is known of the method of an entry."""
        return METHODS[axis][self.study.method(axis, label)]

    @property
    def seed(self) -> int:
        """The seed of the study."""
        return self.study.data["protocol"]["seed"]

    @cached_property
    def seed_part(self) -> Part:
        """It as a part."""
        return part(self.seed)

    @cached_property
    def protocol(self) -> Part:
        """What of the protocol determines the result of a session."""
        kept = self.study.data["protocol"].items()
        return part({key: value for key, value in kept if key not in UNSPECIFIC})

    def _entry(self, axis: str, label: str, without: frozenset[str] = NOTHING) -> Part:
        entry = self.study.entry(axis, label)
        return part({key: value for key, value in entry.items() if key not in without})

    def _code(
        self, calls: tuple[str, ...], used: tuple[tuple[str, str], ...], environment: str
    ) -> dict[str, Part]:
        """The code of joulegrid that a job runs, and the locked packages it runs on, as digests."""
        starts: Iterable[str] = (
            *calls,
            *(root for room, name in used for root in roots(room, name)),
        )
        code = self._source.used_by(starts)
        locked = packages.computing(ROOT / environment / "uv.lock", code.imports)
        return {"code": self._listed(code.definitions), "packages": self._listed(locked)}

    def _listed(self, content: dict[str, str]) -> Part:
        """A list by its digest; what it holds is kept in `listings`."""
        name = digest(content)
        self.listings[name] = content
        return part(name)
