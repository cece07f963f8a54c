from .convergence import JobAnswer, explain_job
from .explanation import Also, Explanation, Kind, Log, NoticedBy, causes, explain

__all__ = [
    "Also",
    "Explanation",
    "JobAnswer",
    "Kind",
    "Log",
    "NoticedBy",
    "causes",
    "explain",
    "explain_job",
]
