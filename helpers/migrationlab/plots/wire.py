"""What a wire lets through: for each rate that it was set to, the share that a stream got."""

from __future__ import annotations

from matplotlib.figure import Figure

from migrationlab.errors import UsageError
from migrationlab.plots.picture import BLUE, INK, VERMILION, WIDTH_INCHES, Picture, head, style

#: Of a full Ethernet frame's 1,514 bytes TCP carries 1,448: the rest are the headers of Ethernet
#: (14), IP (20) and TCP (32, with time stamps), for the usual MTU of 1,500.
PAYLOAD_SHARE = 1448 / 1514


def wire(rates_mbit_s: list[float], payloads_mbit_s: list[float]) -> Picture:
    """Draw what a TCP stream got through a wire, as a share of what the wire was set to.

    Args:
        rates_mbit_s: What the wire was set to, each time.
        payloads_mbit_s: How fast the stream's payload arrived, each time.

    Raises:
        UsageError: They are not as many, or none, or a wire had no limit.
    """
    rates = list(rates_mbit_s)
    if not rates or len(rates) != len(payloads_mbit_s) or not all(rates):
        raise UsageError(
            "a share needs a rate and a payload each time",
            hint="Give as many payloads as rates; a wire without a limit has no share.",
        )
    shares = [100 * got / rate for rate, got in zip(rates, payloads_mbit_s, strict=True)]
    low, high = min(shares), max(shares)
    span = f"{low:.0f} %" if round(low) == round(high) else f"{low:.0f} to {high:.0f} %"
    title = f"A TCP stream gets {span} of what the wire is set to"
    labels = [f"{rate:g} Mbit/s" for rate in rates]
    said = [
        f"{got:.1f} Mbit/s, {share:.1f} %"
        for got, share in zip(payloads_mbit_s, shares, strict=True)
    ]
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 2.2 + 0.5 * len(rates)))
        axes = figure.subplots()
        axes.barh(range(len(rates)), shares, height=0.6, color=BLUE)
        for row, text in enumerate(said):
            axes.text(2, row, text, va="center", color="white", fontweight="bold")
        axes.axvline(100 * PAYLOAD_SHARE, color=VERMILION, linestyle="--", linewidth=1.6)
        axes.text(
            100 * PAYLOAD_SHARE - 0.6, -0.62,
            f"what full frames can carry: {100 * PAYLOAD_SHARE:.1f} %",
            ha="right", va="bottom", color=INK,
        )  # fmt: skip
        axes.set_yticks(range(len(rates)), labels)
        axes.set_ylim(len(rates) - 0.5, -1.0)
        axes.set_xlim(0, max(102.0, high * 1.02))
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("payload that arrived, as a share of the rate (%)")
        axes.set_ylabel("wire set to")
        head(figure, title, "one TCP stream from host to host, counted for about a second")
    pairs = "; ".join(f"set to {label}: {text}" for label, text in zip(labels, said, strict=True))
    alt = f"A bar for each rate. {pairs}. A dashed line marks {100 * PAYLOAD_SHARE:.1f} %."
    return Picture(figure, title, alt)
