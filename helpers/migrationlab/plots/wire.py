"""Draw the share of a wire's rate that a TCP stream received, for several rates."""

from __future__ import annotations

from migrationlab.errors import UsageError
from migrationlab.plots import palette, picture

#: Of a full Ethernet frame's 1,514 bytes TCP carries 1,448: the rest are the headers of Ethernet
#: (14), IP (20) and TCP (32, with time stamps), for the usual MTU of 1,500.
PAYLOAD_SHARE = 1448 / 1514


def wire(rates_mbit_s: list[float], payloads_mbit_s: list[float]) -> picture.Picture:
    """Draw a TCP stream's rate through a wire, as a share of the wire's rate."""
    rates = list(rates_mbit_s)
    if not rates or len(rates) != len(payloads_mbit_s) or not all(rates):
        raise UsageError(
            f"payloads_mbit_s must have one value for each rate (got {len(payloads_mbit_s)} for "
            f"the rates {rates})",
            hint="Give as many payloads as rates, and only wires with a limit.",
        )
    shares = [100 * got / rate for rate, got in zip(rates, payloads_mbit_s, strict=True)]
    low, high = min(shares), max(shares)
    span = f"{low:.0f} %" if round(low) == round(high) else f"{low:.0f} to {high:.0f} %"
    title = f"A TCP stream receives {span} of the wire's rate"
    labels = [f"{rate:g} Mbit/s" for rate in rates]
    pairs = zip(payloads_mbit_s, shares, strict=True)
    said = [f"{got:.1f} Mbit/s, {share:.1f} %" for got, share in pairs]
    listed = "; ".join(f"{label}: {text}" for label, text in zip(labels, said, strict=True))
    alt = f"A bar for each rate. {listed}. A dashed line marks {100 * PAYLOAD_SHARE:.1f} %."
    subtitle = "one TCP stream from host to host, measured for about a second"
    with picture.drawing(2.2 + 0.5 * len(rates), title, subtitle, alt) as drawn:
        axes = drawn.figure.subplots()
        axes.barh(range(len(rates)), shares, height=0.6, color=palette.BLUE)
        for row, text in enumerate(said):
            axes.text(2, row, text, va="center", color="white", fontweight="bold")
        axes.axvline(100 * PAYLOAD_SHARE, color=palette.VERMILION, linestyle="--", linewidth=1.6)
        axes.text(
            100 * PAYLOAD_SHARE - 0.6, -0.62,
            f"limit of full frames: {100 * PAYLOAD_SHARE:.1f} %",
            ha="right", va="bottom", color=palette.INK,
        )  # fmt: skip
        picture.rows(axes, labels)
        axes.set_ylim(len(rates) - 0.5, -1.0)
        axes.set_xlim(0, max(102.0, high * 1.02))
        axes.set_xlabel("payload received, as a share of the rate (%)")
        axes.set_ylabel("rate of the wire")
    return drawn
