"""Does it matter which teacher layers a distilled student imitates? Test it, and find out."""

__version__ = "0.1.0"
