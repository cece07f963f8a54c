"""Name the colours of figures.

They are those of Okabe and Ito, which colour-blind readers can distinguish.
"""

BLUE, ORANGE, SKY, GREEN = "#0072B2", "#E69F00", "#56B4E9", "#009E73"
VERMILION, PURPLE, YELLOW, GREY, INK = "#D55E00", "#CC79A7", "#F0E442", "#999999", "#222222"
PALE = "#E4E4E4"
