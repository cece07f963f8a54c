from .lab import Lab

__all__ = ["Lab"]
