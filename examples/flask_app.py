"""A Flask application with a login: `gunicorn -k wsdriver.worker examples.flask_app:app`, then open http://127.0.0.1:8000/

The WebSocket is for those who have logged in. All of Flask works before the handshake: who may not come in is answered
with 401, as on any other page.
"""

from __future__ import annotations

import secrets
from typing import Any

from flask import Flask, abort, redirect, render_template_string, request, session, url_for

import wsdriver

app = Flask(__name__)
app.secret_key = secrets.token_bytes()  # of this process; with more than one worker, take it from the environment
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"  # pages of other sites cannot use a visitor's login

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Flask echo</title>
{% if name %}
  <form id="say"><input id="text" autofocus autocomplete="off"> <button>Say</button></form>
  <pre id="log"></pre>
  <script>
    const ws = new WebSocket(new URL("echo", location.href.replace(/^http/, "ws")));
    const show = line => { log.textContent += line + "\\n"; };
    ws.onmessage = event => show(event.data);
    ws.onclose = event => show("closed: " + event.code);
    say.onsubmit = event => { event.preventDefault(); ws.send(text.value); text.value = ""; };
  </script>
{% else %}
  <form method="post" action="{{ url_for('login') }}">
    Your name: <input name="name" autofocus> <button>Log in</button>
  </form>
{% endif %}
"""


@app.get("/")
def page() -> str:
    return render_template_string(PAGE, name=session.get("name"))


@app.post("/login")
def login() -> Any:
    session["name"] = request.form["name"]  # an example: who asks is believed
    return redirect(url_for("page"))


@app.route("/echo", websocket=True)  # for WebSockets only: werkzeug wants to be told
def echo() -> Any:
    name = session.get("name")
    if name is None:
        abort(401)
    ws = wsdriver.WebSocket(request.environ, origins="same")  # whose login it is, not another site's page
    try:
        for message in ws:
            ws.send(f"{name}: {message}")
    except wsdriver.ConnectionClosed:
        pass  # the client has gone; Flask would log an error
    return ws.wsgi_response()
