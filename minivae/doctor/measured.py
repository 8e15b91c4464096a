"""Results for one function of the user, after its terms were measured."""

from dataclasses import dataclass, field

from minivae.doctor.findings import Finding
from minivae.doctor.names import KnownCost, KnownKL
from minivae.doctor.probe import Target


@dataclass
class Measured:
    """Results for one function; an unconfirmed part is None."""

    target: Target
    sizes: dict[str, int]
    cost: KnownCost | None = None
    kl: KnownKL | None = None
    powers: dict[str, dict[str, int] | None] = field(default_factory=dict)
    constant: float | None = None
    findings: list[Finding] = field(default_factory=list)
