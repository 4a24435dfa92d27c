"""What the pages share: the frame, the controls, running, claims, chart idioms and sharing."""

from ui.page import Page, open_page

__all__ = ["Page", "open_page"]
