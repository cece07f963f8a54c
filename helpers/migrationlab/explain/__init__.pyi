from .explanation import Also, Explanation, Kind, Log, NoticedBy, causes, explain

__all__ = ["Also", "Explanation", "Kind", "Log", "NoticedBy", "causes", "explain"]
