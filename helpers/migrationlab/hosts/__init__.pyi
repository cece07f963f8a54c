from .host import Host
from .logs import LogTail, log_tails
from .shell import Shell

__all__ = ["Host", "LogTail", "Shell", "log_tails"]
