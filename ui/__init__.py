"""What the pages share: the frame, the controls, running, claims, chart idioms and sharing.

Pages import it first of all. On a fresh server a deep link runs a page alone, without the front door: it is
sent back through that from here, before Python has spent half a second on importing what it computes with.
"""

from streamlit.runtime.pages_manager import PagesManager

from ui import boot

if PagesManager.uses_pages_directory:  # no session of this server has been through the front door yet
    boot.guard()
