"""Studies of whole networks: ordinary layered training, and the audit of what it hides."""

from pyasync.study.audit import audit
from pyasync.study.layered import train_layered
from pyasync.study.report import AuditReport, AuditRow

__all__ = ["AuditReport", "AuditRow", "audit", "train_layered"]
