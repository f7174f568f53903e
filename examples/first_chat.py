"""The chat of docs/start.md: `gunicorn -k wsdriver.worker first_chat:app` in this folder, then http://127.0.0.1:8000/"""

from pathlib import Path

import wsdriver

PAGE = Path(__file__).with_suffix(".html")
room = wsdriver.Channel("room", history=50)


def app(environ, start_response):
    if wsdriver.is_websocket(environ):
        ws = wsdriver.WebSocket(environ, origins="same", max_length=4096)
        room.join(ws, since="0")  # first what is kept, then what comes
        for message in ws:
            room.publish(message)  # to all who have joined, this one too
        return ws.wsgi_response()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [PAGE.read_bytes()]
