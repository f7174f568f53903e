// The page of the chat example: a WebSocket that comes back by itself, and nothing but textContent in the DOM.
'use strict';

(() => {
  const RETRY_FIRST = 500; // ms before the first attempt to reconnect, doubled each time
  const RETRY_LONGEST = 10_000;
  const ANSWER_WITHIN = 8_000; // a server silent for so long after we asked something is gone
  const KEPT = 500; // lines that stay on the page
  const GROUP = 5 * 60; // seconds within which messages of one person belong together
  const REPLACED = 4001; // close code: this name goes on in another window

  const $ = (id) => document.getElementById(id);
  const messages = $('messages');
  const scroller = $('scroll');
  const dialog = $('join-dialog');
  const text = $('text');

  const url = new URL('chat', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = url.hash = '';

  // ---- what the page remembers ---------------------------------------------------------------------------------

  const storage = {
    get(area, key) { try { return window[area].getItem(key) || ''; } catch { return ''; } },
    set(area, key, value) { try { window[area].setItem(key, value); } catch { /* private mode: ask again next time */ } },
  };

  const random = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('');

  let name = storage.get('localStorage', 'chat.name');
  // One key per tab: after a lost connection or a reload the server gives the name back to the tab that held it.
  const key = storage.get('sessionStorage', 'chat.key') || random();
  storage.set('sessionStorage', 'chat.key', key);

  const outbox = new Map(); // ref -> { text, line }: said here, not yet confirmed by the server
  const seen = new Set(); // refs already shown: a message that comes again, or was sent again, appears once
  let met = false; // a server has welcomed this page
  let members = new Set();
  let choosing = false; // the dialog asks for a name

  // ---- the connection ------------------------------------------------------------------------------------------

  let socket = null;
  let joined = false; // the server said welcome on this connection
  let asking = false; // we wait for that welcome
  let failures = 0; // attempts since the last welcome
  let retryAt = 0;
  let ticker = 0;
  let deadline = 0;

  function connect() {
    stopTimers();
    asking = true;
    show(failures ? 'reconnecting' : 'connecting', failures ? 'Reconnecting…' : 'Connecting…');
    const ws = new WebSocket(url);
    socket = ws;
    ws.onopen = () => { if (ws === socket) join(); };
    ws.onmessage = (event) => { if (ws === socket) receive(JSON.parse(event.data)); };
    ws.onclose = (event) => { if (ws === socket) lost(event.code); };
    expectAnswer();
  }

  function join() {
    asking = true;
    transmit({ type: 'join', name, key });
  }

  function transmit(message) {
    socket.send(JSON.stringify(message));
    expectAnswer();
  }

  /** A dead network may never tell: give up on a server that owes us an answer. */
  function expectAnswer() {
    clearTimeout(deadline);
    if (socket && (asking || (joined && outbox.size))) deadline = setTimeout(() => { hangUp(); lost(); }, ANSWER_WITHIN);
  }

  function hangUp() {
    const ws = socket;
    socket = null; // its events no longer count
    joined = asking = false;
    stopTimers();
    if (ws) ws.close(1000);
  }

  function lost(code) {
    const idle = choosing && !asking; // nothing to come back for before a name is given
    hangUp();
    if (idle || code === REPLACED) {
      show('offline', 'Not connected');
      if (!idle) ask('You joined with this name in another window.');
      return;
    }
    const longest = Math.min(RETRY_LONGEST, RETRY_FIRST * 2 ** failures);
    failures += 1;
    retryAt = Date.now() + Math.min(RETRY_LONGEST, longest * (0.75 + Math.random() / 2));
    ticker = setInterval(countDown, 100);
    countDown();
  }

  function countDown() {
    const left = retryAt - Date.now();
    if (left <= 0) return connect();
    const seconds = `${Math.ceil(left / 1000)} s`;
    if (navigator.onLine) show('reconnecting', `Reconnecting in ${seconds}`, 'Connection lost, reconnecting');
    else show('offline', `Offline, retry in ${seconds}`, 'Offline');
    if (choosing) complain(`The server cannot be reached. Next attempt in ${seconds}.`);
  }

  function stopTimers() {
    clearInterval(ticker);
    clearTimeout(deadline);
    ticker = 0;
  }

  function retryNow() {
    if (ticker && !document.hidden) connect();
  }

  addEventListener('online', retryNow);
  document.addEventListener('visibilitychange', retryNow);

  // A browser may keep a page, and its connection, alive behind the back button: somebody who went away is not here.
  addEventListener('pagehide', hangUp);
  addEventListener('pageshow', (event) => { if (event.persisted && !choosing) connect(); });

  // ---- what the server says ------------------------------------------------------------------------------------

  function receive(message) {
    if (!joined && !['welcome', 'error'].includes(message.type)) return; // the welcome will tell it all
    switch (message.type) {
      case 'welcome': welcome(message); break;
      case 'message': arrive(message, true); break;
      case 'joined':
        members.add(message.name);
        listMembers();
        tell(`${message.name} joined`, message.time);
        break;
      case 'left':
        members.delete(message.name);
        listMembers();
        tell(`${message.name} left`, message.time);
        break;
      case 'error': refused(message); break;
    }
    expectAnswer();
  }

  function welcome(message) {
    const first = choosing || !met;
    name = message.name;
    storage.set('localStorage', 'chat.name', name);
    asking = false;
    joined = true;
    failures = 0;
    met = true;
    members = new Set(message.members);
    listMembers();
    messages.setAttribute('aria-busy', 'true'); // history is not read aloud
    for (const past of message.history) arrive(past, false);
    messages.removeAttribute('aria-busy');
    show('online', 'Online');
    $('leave').hidden = false;
    choosing = false;
    dialog.close();
    if (first) {
      tell(`You joined as ${name}`, Date.now() / 1000);
      text.focus({ preventScroll: true });
    }
    for (const [ref, entry] of outbox) transmit({ type: 'say', text: entry.text, ref });
  }

  function arrive(message, live) {
    if (seen.has(message.ref)) return;
    seen.add(message.ref);
    const waiting = outbox.get(message.ref);
    if (waiting) {
      outbox.delete(message.ref);
      confirm(waiting.line, message.time);
    } else {
      const line = messageLine(message.name, message.text, message.time);
      line.classList.toggle('arrived', live);
      add(line);
      if (live && message.name !== name) notice();
    }
    for (const ref of seen) if (seen.size > KEPT) seen.delete(ref); else break;
  }

  function refused(error) {
    const waiting = outbox.get(error.ref);
    if (waiting) {
      outbox.delete(error.ref);
      seen.add(error.ref); // some may have got it all the same
      fail(waiting.line, error.text);
    } else if (asking || error.code === 'name-in-use') {
      asking = joined = false;
      show('offline', 'Not joined');
      ask(error.text);
    } else {
      tell(error.text, Date.now() / 1000);
    }
  }

  // ---- what the person does ------------------------------------------------------------------------------------

  function ask(complaint = '') {
    choosing = true;
    joined = false;
    $('leave').hidden = true;
    $('name').value = name;
    if (!dialog.open) dialog.showModal();
    complain(complaint);
    $('name').select();
  }

  function complain(complaint) {
    $('join-error').textContent = complaint;
    $('name').toggleAttribute('aria-invalid', Boolean(complaint));
  }

  $('join-form').addEventListener('submit', (event) => {
    event.preventDefault();
    name = $('name').value;
    complain('');
    if (socket && socket.readyState === WebSocket.OPEN) {
      show('connecting', 'Connecting…');
      join();
    } else if (!socket) connect();
  });

  dialog.addEventListener('cancel', (event) => event.preventDefault());
  dialog.addEventListener('close', () => { if (choosing) dialog.showModal(); }); // a second Escape cannot be prevented

  $('leave').addEventListener('click', () => {
    hangUp();
    for (const entry of outbox.values()) fail(entry.line, 'Not sent');
    outbox.clear();
    failures = 0;
    members.clear();
    listMembers();
    tell('You left', Date.now() / 1000);
    show('offline', 'Not connected');
    ask();
  });

  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    const said = text.value.trim();
    if (!said) return;
    const ref = random();
    const line = messageLine(name, said, Date.now() / 1000);
    line.classList.add('pending', joined ? 'arrived' : 'waiting');
    if (!joined) line.querySelector('time').textContent = 'Waiting for the connection…';
    outbox.set(ref, { text: said, line });
    add(line, true);
    if (joined) transmit({ type: 'say', text: said, ref });
    text.value = '';
    fitText();
  });

  text.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $('composer').requestSubmit();
  });

  text.addEventListener('input', fitText);

  function fitText() {
    $('send').disabled = !text.value.trim();
    text.style.height = 'auto';
    text.style.height = `${text.scrollHeight}px`;
  }

  // ---- what the person sees ------------------------------------------------------------------------------------

  function element(tag, className, content) {
    const made = document.createElement(tag);
    made.className = className;
    if (content !== undefined) made.textContent = content;
    return made;
  }

  function show(state, label, spoken = label) {
    $('status').dataset.state = state;
    if ($('status-text').textContent !== label) $('status-text').textContent = label;
    if ($('status-live').textContent !== spoken) $('status-live').textContent = spoken;
    document.body.classList.toggle('stale', state !== 'online');
  }

  function hue(person) {
    let hash = 2166136261; // FNV-1a
    for (const character of person.toLowerCase()) hash = Math.imul(hash ^ character.codePointAt(0), 16777619);
    return ((hash >>> 8) % 24) * 15;
  }

  function avatar(person) {
    const words = person.split(/\s+/);
    const initials = (words.length > 1 ? [words[0], words.at(-1)] : words).map((word) => (word.match(/[\p{L}\p{N}]/u) || [...word])[0]);
    const made = element('span', 'avatar', initials.join('').toUpperCase());
    made.setAttribute('aria-hidden', 'true');
    made.style.setProperty('--hue', hue(person));
    return made;
  }

  function listMembers() {
    const sorted = [...members].sort((a, b) => (b === name) - (a === name) || a.localeCompare(b));
    $('members').replaceChildren(...sorted.map((person) => {
      const item = element('li', 'member');
      item.append(avatar(person), element('span', 'name', person));
      if (person === name) {
        item.classList.add('self');
        item.append(element('span', 'you', 'you'));
      }
      return item;
    }));
    $('count').textContent = members.size;
  }

  function setTime(line, time) {
    const date = new Date(time * 1000);
    const shown = line.querySelector('time');
    line.dataset.time = time;
    shown.dateTime = date.toISOString();
    shown.title = date.toLocaleString();
    shown.textContent = date.toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' });
  }

  function messageLine(person, content, time) {
    const own = person === name;
    const line = element('li', own ? 'message own' : 'message');
    line.dataset.name = person;
    const who = element('span', 'name', own ? 'You' : person);
    who.style.setProperty('--hue', hue(person));
    const meta = element('div', 'meta');
    meta.append(who, element('time', ''));
    const body = element('div', 'body');
    body.append(meta, element('p', 'bubble', content));
    line.append(avatar(person), body);
    setTime(line, time);
    return line;
  }

  function tell(content, time) {
    const line = element('li', 'system arrived', content);
    line.title = new Date(time * 1000).toLocaleString();
    add(line);
  }

  /** Put a line at the end, but before what still waits to be sent. */
  function add(line, mine = false) {
    messages.insertBefore(line, line.classList.contains('pending') ? null : messages.querySelector('.pending'));
    while (messages.children.length > KEPT) messages.firstElementChild.remove();
    group(messages.firstElementChild);
    group(line);
    group(line.nextElementSibling);
    if (atEnd || mine) toEnd();
    else if (line.classList.contains('message')) unread(Number($('newer').dataset.count || 0) + 1);
  }

  function confirm(line, time) {
    const first = messages.querySelector('.pending');
    line.classList.remove('pending', 'waiting');
    setTime(line, time);
    if (first && first !== line) messages.insertBefore(line, first);
    group(line);
    group(line.nextElementSibling);
  }

  function fail(line, reason) {
    line.classList.remove('pending', 'waiting');
    line.classList.add('failed');
    line.querySelector('.body').append(element('p', 'note', reason));
    setTime(line, Number(line.dataset.time));
    group(line);
    group(line.nextElementSibling);
  }

  /** Messages of one person in a row carry the name once. */
  function group(line) {
    if (!line || !line.classList.contains('message')) return;
    const before = line.previousElementSibling;
    const alike = (state) => before.classList.contains(state) === line.classList.contains(state);
    const follows = before !== null && before.dataset.name === line.dataset.name
      && line.dataset.time - before.dataset.time < GROUP
      && alike('waiting') && alike('failed');
    line.classList.toggle('follow', follows);
    line.querySelector('.meta').classList.toggle('unseen', follows);
  }

  function unread(count) {
    $('newer').dataset.count = count;
    $('newer').hidden = !count;
    $('newer').textContent = count === 1 ? '1 new message ↓' : `${count} new messages ↓`;
  }

  let atEnd = true; // whoever reads the newest message keeps seeing it; whoever reads back is not disturbed

  function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
  }

  scroller.addEventListener('scroll', () => {
    atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    if (atEnd) unread(0);
  });

  new ResizeObserver(() => { if (atEnd) toEnd(); }).observe(scroller); // a keyboard opens, the text grows

  $('newer').addEventListener('click', () => {
    toEnd();
    text.focus({ preventScroll: true });
  });

  // The tab's title counts what came while nobody looked.
  const title = document.title;
  let unnoticed = 0;

  function notice() {
    if (document.hidden) document.title = `(${unnoticed += 1}) ${title}`;
  }

  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) { unnoticed = 0; document.title = title; }
  });

  if (name) connect();
  else ask();
})();
