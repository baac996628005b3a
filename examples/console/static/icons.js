// The icons of states and of a few other things. Each state has its own shape: colour is never the
// only difference.

import { h, s, setAttribute, setData, setText } from './dom.js';
import { plain } from './words.js';

const ring = 'M8 1.75a6.25 6.25 0 1 1 0 12.5a6.25 6.25 0 0 1 0-12.5z';

// Each icon is 16 by 16, with filled shapes and with lines on top.
const shapes = {
  pending: [['dots', ring]],
  running: [['track', ring], ['turning', 'M8 1.75a6.25 6.25 0 0 1 6.25 6.25']],
  waiting: [['line', ring], ['line', 'M8 4.5V8l2.4 1.6']],
  gated: [['line', ring], ['line', 'M6.2 5.2v5.6M9.8 5.2v5.6']],
  succeeded: [['disc', ring], ['mark', 'M5 8.3l2.1 2.1L11 6.2']],
  failed: [['disc', ring], ['mark', 'M5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6']],
  skipped: [['line', ring], ['line', 'M5.4 5.5L7.9 8l-2.5 2.5M8.4 5.5L10.9 8l-2.5 2.5']],
  error_ignored: [['disc', 'M8 1.2l7 12.6H1z'], ['mark', 'M5.4 10.2l1.9 1.8 3.3-3.7']],
  abnormal: [['disc', 'M8 1.2l7 12.6H1z'], ['mark', 'M8 5.8v3.6M8 11.6v.2']],
  terminating: [['line', ring], ['mark-square', 'M5.6 5.6h4.8v4.8H5.6z']],
  terminated: [['disc', ring], ['hole', 'M5.6 5.6h4.8v4.8H5.6z']],
  confirmation_terminated: [['disc', ring], ['mark', 'M4.8 8h6.4']],
  abandoned: [['line', ring], ['line', 'M3.8 3.8l8.4 8.4']],
};

const others = {
  gate: [['line', 'M2.5 14V4.5L8 1.8l5.5 2.7V14M5.4 14V7h5.2v7M8 7v7']],
  arrow: [['line', 'M2.5 8h10.5M9.4 4.4L13 8l-3.6 3.6']],
  chevron: [['line', 'M5.5 3.5L10 8l-4.5 4.5']],
};

// icon returns the icon of a state or a thing. Screen readers skip it: its name is beside it.
export function icon(name) {
  const el = s('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true', focusable: 'false' });
  draw(el, name);
  return el;
}

function draw(el, name) {
  if (el.dataset.icon === name) return;
  setData(el, 'icon', name);
  el.replaceChildren(...(shapes[name] ?? others[name] ?? shapes.pending).map(([kind, d]) => s('path', { class: kind, d })));
}

// badge returns a state as its icon and its name.
export function badge(state, props) {
  const el = h('span', { class: 'badge', ...props }, icon(state), h('span', {}));
  setBadge(el, state);
  return el;
}

export function setBadge(el, state) {
  setData(el, 'state', state);
  draw(el.firstChild, state);
  setText(el.lastChild, plain(state));
}

export function setIcon(el, name) {
  draw(el, name);
  setAttribute(el, 'data-state', name in shapes ? name : null);
}
