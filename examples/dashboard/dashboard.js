// The page of the dashboard: figures from an EventSource into charts, and a load of echoes to look at.
'use strict';

(() => {
  const SHOWN = 120; // seconds in a chart
  const BURST = 50; // ms between two bursts of the load

  const $ = (id) => document.getElementById(id);

  // ---- the figures ---------------------------------------------------------------------------------------------

  const seconds = new Map(); // time -> process -> its figures
  const source = new EventSource('figures');

  source.addEventListener('open', () => show('online', 'Live'));

  // The browser comes back by itself, and says in Last-Event-ID what it has seen last.
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) show('offline', 'Refused');
    else show('reconnecting', 'Reconnecting…');
  });

  source.addEventListener('message', (event) => {
    const figures = JSON.parse(event.data);
    if (!seconds.has(figures.time)) seconds.set(figures.time, new Map());
    seconds.get(figures.time).set(figures.process, figures);
    redraw();
  });

  function show(state, text) {
    $('status').dataset.state = state;
    $('status').textContent = text;
  }

  /** What all processes did together in a second. */
  function total(processes) {
    const all = [...processes.values()];
    const sum = (name) => all.reduce((result, figures) => result + figures[name], 0);
    const trips = all.map((figures) => figures.trip).filter((trip) => trip !== null);
    return {
      processes: all.length,
      open: sum('open'),
      received: sum('received'),
      sent: sum('sent'),
      bytesReceived: sum('bytes_received'),
      bytesSent: sum('bytes_sent'),
      cpu: sum('cpu'),
      late: Math.max(...all.map((figures) => figures.late)),
      trip: trips.length ? trips.reduce((result, trip) => result + trip) / trips.length : null,
    };
  }

  // ---- the charts ----------------------------------------------------------------------------------------------

  const number = (value, digits = 0) => value.toLocaleString([], { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const kilo = (bytes) => number(bytes / 1000, 1);

  // What each tile shows, in its own unit, and what it says below.
  const tiles = {
    messages: {
      value: (second) => second.received + second.sent,
      more: (second) => `${number(second.received)} in, ${number(second.sent)} out`,
      least: 10,
    },
    open: { value: (second) => second.open, least: 4 },
    traffic: {
      value: (second) => (second.bytesReceived + second.bytesSent) / 1000,
      more: (second) => `${kilo(second.bytesReceived)} in, ${kilo(second.bytesSent)} out`,
      digits: 1,
      least: 1,
    },
    trip: { value: (second) => second.trip, digits: 1, least: 2 },
    cpu: {
      value: (second) => second.cpu,
      more: (second) => `greenlets wait ${number(second.late, 1)} ms`,
      digits: 1,
      least: 4,
    },
  };

  let scheduled = 0;
  let drawn = 0; // the last second in the charts

  function redraw() {
    scheduled ||= requestAnimationFrame(draw); // once for all that has come by then
  }

  function draw() {
    scheduled = 0;
    if (!seconds.size) return;
    let last = Math.max(...seconds.keys());
    if (seconds.get(last).size < seconds.get(last - 1)?.size) last -= 1; // not all processes have told yet
    const moves = last !== drawn && !matchMedia('(prefers-reduced-motion: reduce)').matches;
    drawn = last;
    const first = last - SHOWN - 1; // one more than is seen, for the moment in which the charts move
    for (const time of seconds.keys()) if (time < first) seconds.delete(time);
    const history = Array.from({ length: SHOWN + 2 }, (_, index) => {
      const processes = seconds.get(first + index);
      return processes ? total(processes) : null;
    });
    const now = history.at(-1);
    const clock = new Date(last * 1000).toLocaleTimeString();
    $('about').textContent = now.processes === 1 ? clock : `${now.processes} processes, ${clock}`;
    for (const [id, tile] of Object.entries(tiles)) drawTile($(id), tile, history, now, moves);
  }

  function drawTile(section, tile, history, now, moves) {
    const values = history.map((second) => (second ? tile.value(second) : null));
    const text = (value) => (value === null ? '–' : number(value, tile.digits));
    const most = Math.max(...values);
    section.querySelector('.value').textContent = text(tile.value(now));
    section.querySelector('.more').textContent = tile.more ? tile.more(now) : `at most ${text(most)}`;
    const svg = section.querySelector('svg');
    const { clientWidth: width, clientHeight: height } = svg;
    const wide = section.classList.contains('wide');
    const [top, bottom] = wide ? [14, 24] : [6, 0]; // room for labels
    const highest = round(Math.max(tile.least, most));
    const x = (index) => ((index - 1) / SHOWN) * width;
    const y = (value) => height - bottom - (value / highest) * (height - top - bottom);

    const name = section.querySelector('h2').textContent;
    svg.setAttribute('aria-label', `${name}, the last two minutes: at most ${text(most)}, now ${text(tile.value(now))}`);
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    const plot = make('g', {});
    for (const run of runs(values)) {
      const points = run.map((index) => `${x(index).toFixed(1)},${y(values[index]).toFixed(1)}`).join(' ');
      const [left, right] = [x(run[0]).toFixed(1), x(run.at(-1)).toFixed(1)];
      plot.append(
        make('polygon', { class: 'area', points: `${left},${height - bottom} ${points} ${right},${height - bottom}` }),
        make('polyline', { class: 'line', points }),
      );
    }
    svg.replaceChildren(plot);
    if (wide) {
      const inset = parseFloat(getComputedStyle(section.querySelector('h2')).paddingLeft);
      for (const value of [0, highest / 2, highest]) {
        svg.prepend(make('line', { class: 'grid', x1: 0, x2: width, y1: y(value), y2: y(value) }));
        if (value) svg.append(make('text', { x: inset, y: y(value) + 4 }, number(value)));
      }
      for (const [x, anchor, label] of [[inset, 'start', '2 min ago'], [width / 2, 'middle', '1 min ago'], [width - inset, 'end', 'now']]) {
        svg.append(make('text', { x, y: height - 7, 'text-anchor': anchor }, label));
      }
    }
    if (moves) plot.animate([{ transform: `translateX(${width / SHOWN}px)` }, { transform: 'none' }], 1000);
  }

  /** Where there are values, as lists of indexes without a gap. */
  function* runs(values) {
    let run = [];
    for (const index of values.keys()) {
      if (values[index] !== null) run.push(index);
      else if (run.length) { yield run; run = []; }
    }
    if (run.length) yield run;
  }

  /** The next of 1, 2, 4, 6, 8, 10, 20... that is not smaller. */
  function round(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
  }

  function make(tag, attributes, content = '') {
    const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = content;
    return made;
  }

  new ResizeObserver(redraw).observe(document.body);

  // ---- the load ------------------------------------------------------------------------------------------------

  const url = new URL('echo', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const sockets = [];
  let owed = 0; // messages, and a fraction of one
  let then = performance.now();

  function open() {
    const ws = new WebSocket(url);
    ws.addEventListener('close', () => {
      if (sockets.includes(ws)) sockets.splice(sockets.indexOf(ws), 1);
    });
    sockets.push(ws);
  }

  setInterval(() => {
    // While the server is away, nobody knocks but the EventSource.
    const wanted = source.readyState === EventSource.OPEN ? Number($('sockets').value) : 0;
    if (sockets.length < wanted) open();
    while (sockets.length > wanted) sockets.pop().close();

    const now = performance.now();
    const wave = $('waves').checked ? 0.65 + 0.3 * Math.sin(now / 5300) + 0.1 * Math.sin(now / 1100) : 1;
    owed += (Math.min(now - then, 1000) / 1000) * Number($('rate').value) * wave;
    then = now;
    const ready = sockets.filter((ws) => ws.readyState === WebSocket.OPEN && ws.bufferedAmount < 10_000);
    if (!ready.length) owed = 0;
    for (; owed >= 1; owed -= 1) ready[Math.floor(Math.random() * ready.length)].send('What goes out comes back.');
  }, BURST);

  function label() {
    $('rate-shown').textContent = number(Number($('rate').value));
    $('sockets-shown').textContent = $('sockets').value;
  }

  $('load').addEventListener('input', label);
  label();
})();
