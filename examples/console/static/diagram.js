// The state machine of a step type as a drawing and as a table. The drawing highlights the state of
// a step and the operations that are legal now.

import { h, s, setAttribute, setData, setText } from './dom.js';
import { icon } from './icons.js';
import { layOut, loopHeight } from './layout.js';
import { machineOf } from './rules.js';
import { codeOf, jobCodeOf, plain } from './words.js';

const node = { width: 116, height: 34 };
const pad = 10;

// A label is a row of pieces: pills with the numbers of operations, and events in words.
function piecesOf({ events, codes, jobCodes }) {
  const pieces = codes.map((name) => ({ pill: String(codeOf(name).number), code: name, title: codeOf(name).title }));
  for (const name of jobCodes) pieces.push({ pill: `job ${jobCodeOf(name).number}`, jobCode: name, title: jobCodeOf(name).title });
  if (events.length > 2) pieces.push({ text: `${events.length} outcomes`, title: events.map(plain).join(', ') });
  else if (events.length) pieces.push({ text: events.map(plain).join(', '), title: events.map(plain).join(', ') });
  for (const piece of pieces) piece.width = piece.pill ? 10 + 6.2 * piece.pill.length : 5.5 * piece.text.length + 4;
  return pieces;
}

const widthOf = (pieces) => pieces.reduce((sum, piece) => sum + piece.width + 3, -3);

// A Diagram draws the state machine of one type.
export class Diagram {
  constructor(rules, type) {
    this.type = type;
    this.machine = machineOf(rules, type);
    this.nodes = new Map();
    this.edges = [];
    this.pills = [];
    this.caption = h('p', { class: 'visually-hidden' });
    this.scroller = h('div', { class: 'diagram-scroller', tabindex: '0', role: 'group', 'aria-label': 'State diagram, scrollable' });
    this.el = h('div', { class: 'diagram', data: { type } }, this.caption, this.scroller,
      h('details', { class: 'as-table' }, h('summary', {}, 'As a table'), this.#table()));
    this.#draw();
  }

  // light highlights the state of a step, and the codes and job codes that are legal now.
  light(state, legal, legalJob) {
    setText(this.caption, `A ${this.machine.title} step can be in ${this.machine.states.length} states. This one is ${plain(state)}.`);
    for (const [name, el] of this.nodes) setData(el, 'current', name === state ? 'true' : null);
    for (const { el, transition } of this.edges) {
      const ways = [...transition.codes.filter((code) => legal.has(code)), ...transition.jobCodes.filter((code) => legalJob.has(code))];
      const here = transition.from === state;
      setData(el, 'from-current', here ? 'true' : null);
      setData(el, 'legal', here && ways.length ? 'true' : null);
    }
    for (const { el, piece, transition } of this.pills) {
      const lit = transition.from === state && (legal.has(piece.code) || legalJob.has(piece.jobCode));
      setData(el, 'legal', lit ? 'true' : null);
    }
    if (state !== this.state) this.#show(state);
    this.state = state;
  }

  // show scrolls to a state if the drawing is wider than its place.
  #show(state) {
    const at = this.places.get(state);
    if (!at) return;
    requestAnimationFrame(() => {
      const { clientWidth, scrollWidth } = this.scroller;
      if (scrollWidth > clientWidth) this.scroller.scrollLeft = (at.x / this.width) * scrollWidth - clientWidth / 2;
    });
  }

  #draw() {
    const labels = new Map(this.machine.transitions.map((t) => [t, piecesOf(t)]));
    const { nodes, edges, loops, width, height } = layOut(this.machine, { ...node, label: (t) => widthOf(labels.get(t)) });
    this.width = width;
    this.places = new Map(nodes.map((n) => [n.state, n]));
    const svg = s('svg', {
      class: 'machine', role: 'img', 'aria-label': `The states of a ${this.machine.title} step; a table of them follows`,
      viewBox: `${-pad} ${-pad} ${width + 2 * pad} ${height + 2 * pad}`, width: width + 2 * pad, height: height + 2 * pad,
    });
    const lines = [
      ...edges.map(({ transition, points, label }) => ({ transition, label, line: pathOf(points), head: headOf(points) })),
      ...loops.map(({ transition, x, y, label }) => ({ transition, label, ...loopOf(x, y) })),
    ];
    for (const { transition, label, line, head } of lines) {
      const operated = transition.codes.length + transition.jobCodes.length > 0;
      const el = s('g', { class: 'edge', data: { from: transition.from, to: transition.to, operated: operated ? 'true' : null } },
        s('path', { class: 'line', d: line }), s('path', { class: 'head', d: head }),
        this.#label(transition, labels.get(transition), label));
      this.edges.push({ el, transition });
      svg.append(el);
    }
    for (const { state, x, y } of nodes) {
      const sign = icon(state);
      for (const [name, value] of [['x', -node.width / 2 + 9], ['y', -7], ['width', 14], ['height', 14]]) setAttribute(sign, name, value);
      const words = plain(state).split(' ');
      const text = words.length > 1 && plain(state).length > 13
        ? words.map((word, i) => s('tspan', { x: -node.width / 2 + 28, y: (i - (words.length - 1) / 2) * 12 }, word))
        : plain(state);
      const el = s('g', { class: 'node', transform: `translate(${x} ${y})`, data: { state } },
        s('rect', { x: -node.width / 2, y: -node.height / 2, width: node.width, height: node.height, rx: 8 }),
        sign, s('text', { x: -node.width / 2 + 28, y: 0, 'dominant-baseline': 'central' }, text));
      this.nodes.set(state, el);
      svg.append(el);
    }
    this.scroller.replaceChildren(svg);
  }

  #label(transition, pieces, { x, y }) {
    const width = widthOf(pieces);
    const group = s('g', { class: 'label', transform: `translate(${x - width / 2} ${y})` },
      s('rect', { class: 'under', x: -2, y: -8, width: width + 4, height: 16, rx: 8 }));
    let at = 0;
    for (const piece of pieces) {
      const title = s('title', {}, piece.title);
      const text = s('text', { x: at + piece.width / 2, y: 0, 'text-anchor': 'middle', 'dominant-baseline': 'central' }, piece.pill ?? piece.text);
      const el = piece.pill
        ? s('g', { class: 'pill', data: { code: piece.code, 'job-code': piece.jobCode } }, title,
          s('rect', { x: at, y: -8, width: piece.width, height: 16, rx: 8 }), text)
        : s('g', { class: 'event' }, title, text);
      if (piece.pill) this.pills.push({ el, piece, transition });
      group.append(el);
      at += piece.width + 3;
    }
    return group;
  }

  #table() {
    const by = ({ codes, jobCodes, events }) => [
      ...codes.map((name) => `${codeOf(name).number} ${plain(name)}`),
      ...jobCodes.map((name) => `job ${jobCodeOf(name).number} ${plain(name)}`),
      ...events.map(plain),
    ].join(', ');
    return h('div', { class: 'table-scroller', tabindex: '0', role: 'group', 'aria-label': 'Transitions, scrollable' },
      h('table', {},
        h('caption', { class: 'visually-hidden' }, `Transitions of a ${this.machine.title} step`),
        h('thead', {}, h('tr', {}, ...['From', 'By', 'To'].map((name) => h('th', { scope: 'col' }, name)))),
        h('tbody', {}, this.machine.transitions.map((t) => h('tr', {},
          h('th', { scope: 'row' }, plain(t.from)), h('td', {}, by(t)), h('td', {}, plain(t.to)))))));
  }
}

function pathOf(points) {
  let d = `M${points[0].x} ${points[0].y}`;
  for (let i = 1; i < points.length; i += 1) {
    const [a, b] = [points[i - 1], points[i]];
    if (a.y === b.y) {
      d += `H${b.x}`;
    } else {
      const bend = (b.x - a.x) / 2;
      d += `C${a.x + bend} ${a.y} ${b.x - bend} ${b.y} ${b.x} ${b.y}`;
    }
  }
  return d;
}

function headOf(points) {
  const { x, y } = points.at(-1);
  const way = Math.sign(x - points.at(-2).x) || 1;
  return `M${x} ${y}l${-7 * way} -3.5v7z`;
}

// loopOf draws a line from a node's upper side back to it.
function loopOf(x, y) {
  const half = 34, up = (4 / 3) * (loopHeight - 9); // a curve reaches three quarters of the height of its control points
  return { line: `M${x - half} ${y}C${x - half} ${y - up} ${x + half} ${y - up} ${x + half} ${y}`, head: `M${x + half} ${y}l-3.5 -7h7z` };
}
