'use strict';

(() => {
  const SHOWN = 120; // ticks in the chart
  const LOW = 80; // the values at the chart's edges
  const HIGH = 120;

  const $ = (id) => document.getElementById(id);
  const values = [];
  let lastId = null;
  let count = 0;
  let missing = 0;

  const source = new EventSource('ticks');

  source.addEventListener('open', () => show('online', 'Live'));

  // The browser comes back by itself, and says in Last-Event-ID what it has seen last.
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) show('offline', 'Refused');
    else show('reconnecting', 'Reconnecting…');
  });

  source.addEventListener('tick', (event) => {
    const { time, value } = JSON.parse(event.data);
    const id = Number(event.lastEventId);
    if (lastId !== null) missing += id - lastId - 1;
    lastId = id;
    count += 1;
    values.push(value);
    if (values.length > SHOWN) values.shift();
    $('value').textContent = value.toFixed(2);
    $('time').textContent = new Date(time * 1000).toLocaleTimeString();
    $('last-id').textContent = id;
    $('count').textContent = count;
    $('missing').textContent = missing;
    requestAnimationFrame(draw);
  });

  function show(state, text) {
    $('status').dataset.state = state;
    $('status').textContent = text;
  }

  function draw() {
    const { width, height } = $('chart').viewBox.baseVal;
    const step = width / (SHOWN - 1);
    const x = (index) => width - (values.length - 1 - index) * step;
    const y = (value) => height * (1 - (value - LOW) / (HIGH - LOW));
    const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    $('line').setAttribute('points', points);
    $('area').setAttribute('points', `${x(0).toFixed(1)},${height} ${points} ${width},${height}`);
  }
})();
