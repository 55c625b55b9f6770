"""Studies: train with and without layer synchronisation, and see what spike order changes."""

from typing import TYPE_CHECKING, Any

from pyasync.study.audit import audit
from pyasync.study.energy import Energy, EnergyModel
from pyasync.study.layered import train_layered
from pyasync.study.recipe import Recipe
from pyasync.study.report import AuditReport, AuditRow
from pyasync.study.samples import Samples
from pyasync.study.study import study
from pyasync.study.study_report import StudyReport
from pyasync.study.study_rows import Spread, StudyRow

if TYPE_CHECKING:
    from pyasync.study.training import train as train

__all__ = [
    "AuditReport",
    "AuditRow",
    "Energy",
    "EnergyModel",
    "Recipe",
    "Samples",
    "Spread",
    "StudyReport",
    "StudyRow",
    "audit",
    "study",
    "train_layered",
]


def __getattr__(name: str) -> Any:
    """Import `train`, and with it PyTorch, on first use."""
    if name == "train":
        from pyasync.study.training import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "train"} - {"Any", "TYPE_CHECKING"})
