"""Visitors who speak with a server as a browser does, over its websocket, and the memory it takes."""

import asyncio
import time
from pathlib import Path
from typing import Any

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg


def memory(pid: int, what: str) -> float:
    """Of a process, in MB: its peak (``VmHWM``) or what it has now (``VmRSS``)."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith(what)).split()[1]) / 1024


class Visitor:
    """One session on one page."""

    def __init__(self, url: str, page: str) -> None:
        """Who will open ``page`` on the server at ``url``."""
        self.url, self.page = url.replace("http", "ws") + "/_stcore/stream", page
        self.script = ""  # how the server names the page
        self.ids: dict[str, str] = {}  # key of a widget -> its name on the wire
        self.waited = False  # whether a training had to queue

    async def __aenter__(self) -> "Visitor":
        """Connect and open the page."""
        self.wire = await websockets.connect(self.url, subprotocols=["streamlit"], max_size=None)  # type: ignore[list-item]
        message = BackMsg()
        message.rerun_script.page_name = self.page
        self.first = await self._ask(message)
        return self

    async def __aexit__(self, *_: Any) -> None:
        """Leave."""
        await self.wire.close()

    async def change(self, key: str, value: float | bool) -> float:
        """Move a control (or press a button: True): seconds until the last chart has been sent."""
        message = BackMsg()
        message.rerun_script.page_script_hash = self.script
        state = message.rerun_script.widget_states.widgets.add(id=self.ids[key])
        if value is True:
            state.trigger_value = True
        elif "seed" in key:
            state.double_value = value
        else:
            state.double_array_value.data.append(value)
        return await self._ask(message)

    async def _ask(self, message: BackMsg) -> float:
        start = time.perf_counter()
        await self.wire.send(message.SerializeToString())
        async with asyncio.timeout(120):
            while not self._finished(ForwardMsg.FromString(await self.wire.recv())):  # type: ignore[arg-type]
                pass
        return time.perf_counter() - start

    def _finished(self, answer: ForwardMsg) -> bool:
        kind = answer.WhichOneof("type")
        if kind == "navigation":
            self.script = answer.navigation.page_script_hash
        elif kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
            element = answer.delta.new_element
            which = element.WhichOneof("type")
            if which in ("slider", "number_input", "button"):
                name = getattr(element, which).id
                self.ids[name.split("-", 2)[-1]] = name
            self.waited |= which == "progress" and element.progress.text.startswith("Waiting")
        return kind == "script_finished" and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
