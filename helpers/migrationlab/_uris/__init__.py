"""How a URI is read (``parts``) and what is wrong with one (``faults``); the face is ``uris``."""
