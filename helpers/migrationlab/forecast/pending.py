"""Hold what is to be sent, in the order of QEMU's scan of memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pending:
    """What is to be sent, in the order of the scan.

    Attributes:
        parts: Normal pages and pages of zeros, together where they lie among each other. Pages
            written behind the scan are added to the last part.
    """

    parts: list[tuple[float, float]]

    @property
    def normal(self) -> float:
        """Return the pages that are not all zeros."""
        return sum(normal for normal, _ in self.parts)

    @property
    def zeros(self) -> float:
        """Return the pages of zeros."""
        return sum(zeros for _, zeros in self.parts)

    @property
    def pages(self) -> float:
        """Return all pages."""
        return self.normal + self.zeros

    def add(self, normal: float) -> None:
        """Add pages behind the scan."""
        self.parts[-1] = (self.parts[-1][0] + normal, self.parts[-1][1])

    def scan_s(self, pages: float, page_s: float, zero_page_s: float) -> float:
        """Return the time to send the next pages.

        Args:
            pages: How many.
            page_s: The time of a page.
            zero_page_s: The time of a page of zeros.
        """
        spent = 0.0
        for normal, zeros in self.parts:
            there = normal + zeros
            if pages <= 0 or there <= 0:
                continue
            share = min(pages / there, 1.0)
            spent += share * (normal * page_s + zeros * zero_page_s)
            pages -= there
        return spent

    def send(self, seconds: float, page_s: float, zero_page_s: float) -> tuple[float, float]:
        """Send for a time; return the pages and the pages of zeros that were sent."""
        parts, sent, sent_zeros = [], 0.0, 0.0
        left_s = seconds
        for normal, zeros in self.parts:
            takes_s = normal * page_s + zeros * zero_page_s
            share = 0.0 if takes_s <= 0 else min(left_s / takes_s, 1.0)
            left_s = max(left_s - takes_s, 0.0)
            sent += share * normal
            sent_zeros += share * zeros
            parts.append((normal * (1 - share), zeros * (1 - share)))
        self.parts = parts
        return sent, sent_zeros
