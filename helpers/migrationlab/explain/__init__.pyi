from .explanation import Explanation, Log, NoticedBy, causes, explain

__all__ = ["Explanation", "Log", "NoticedBy", "causes", "explain"]
