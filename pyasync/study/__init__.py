"""Studies: train with and without layer synchronisation, and see what the order of spikes does."""

from pyasync.study.audit import audit
from pyasync.study.energy import Energy, EnergyModel
from pyasync.study.layered import train_layered
from pyasync.study.recipe import Recipe
from pyasync.study.report import AuditReport, AuditRow
from pyasync.study.samples import Samples
from pyasync.study.study import study
from pyasync.study.study_report import StudyReport
from pyasync.study.study_rows import Spread, StudyRow

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
