// The targets of a step, grouped by result, failed ones first; each group has pages.

import { bdi, h, list, setAttribute, setData, setHidden, setText, uniqueId } from './dom.js';
import { count, fullTime, plural, spent, time } from './format.js';
import { icon, setIcon } from './icons.js';
import { Output } from './output.js';
import { isAttempting, isolated, plain } from './words.js';

const pageSize = 10;
const gather = 400; // milliseconds between two reads while results arrive

// The counts of a step are those of its current batch. The targets of the batches before have succeeded or
// failed for good. Those of later ones have not begun: they are unfinished in sums, and in no group.
const endOf = (step) => step.end || step.total; // index of the first target after the batch
export const succeededOf = (step) => (step.attempt ? (step.before ?? 0) + step.succeeded : 0);
export const failedOf = (step) => (step.attempt ? endOf(step) - succeededOf(step) - step.unfinished : 0);
export const unfinishedOf = (step) => (step.attempt ? step.unfinished + step.total - endOf(step) : step.total);

const classes = [
  { name: 'failed', title: 'Failed', sign: 'failed', count: failedOf },
  { name: 'unfinished', title: 'Not finished', sign: 'running', count: (step) => (step.attempt ? step.unfinished : step.total) },
  { name: 'succeeded', title: 'Succeeded', sign: 'succeeded', count: succeededOf },
];

// A Targets shows the targets of one step. job has the calls of its job.
export class Targets {
  #step = null;
  #attempt = 0; // the attempt shown; 0 means the latest results
  #groups;
  #reported;

  constructor(job) {
    this.#groups = classes.map((kind) => new Group(job, kind));
    this.#reported = new Group(job, { name: 'attempt', title: 'Reported', sign: 'pending', count: () => 0 });
    this.attempts = h('select', { id: uniqueId('attempts'), data: { attempts: '' }, on: { change: () => this.#choose(Number(this.attempts.value)) } });
    this.choice = h('div', { class: 'choice' }, h('label', { for: this.attempts.id }, 'Results of'), this.attempts);
    this.el = h('section', { class: 'card targets', 'aria-labelledby': 'targets-heading', data: { targets: '' } },
      h('div', { class: 'card-head' }, h('h2', { id: 'targets-heading' }, 'Targets'), this.choice),
      this.#groups.map((group) => group.el), this.#reported.el);
  }

  close() {
    for (const group of [...this.#groups, this.#reported]) group.close();
  }

  // update shows a step. fresh reports that it may have new results.
  update(step, fresh) {
    const other = this.#step?.id !== step.id;
    if (other) this.#attempt = 0;
    const again = other || this.#step.attempt !== step.attempt || this.#step.state !== step.state;
    this.#step = { ...step };
    setHidden(this.el, step.total === 0);
    if (step.total === 0) return;
    this.#offer();
    for (const group of this.#groups) {
      group.show(this.#attempt === 0);
      group.update(step, { class: step.attempt ? group.kind.name : 'all' }, group.kind.count(step), other, fresh || again);
    }
    this.#reported.show(this.#attempt !== 0);
    if (this.#attempt) this.#reported.update(step, { attempt: this.#attempt }, undefined, other, fresh);
  }

  #offer() {
    const { attempt } = this.#step;
    setHidden(this.choice, attempt < 2);
    const offered = [0, ...Array.from({ length: Math.min(attempt, 50) }, (_, i) => attempt - i)];
    list(this.attempts, offered, (n) => n,
      (n) => h('option', { value: n }, n ? `attempt ${n} alone` : 'all attempts, the latest each'));
    this.attempts.value = String(this.#attempt);
  }

  #choose(attempt) {
    this.#attempt = attempt;
    this.#reported.rewind();
    this.update(this.#step, true);
  }
}

const rowKey = (target) => target.index;

// A Group is the targets of one class.
class Group {
  #job;
  #step = null;
  #params = {};
  #froms = [0]; // the first index of each page up to this one
  #next; // the first index of the page after it
  #reading = null; // the AbortController of a read
  #due = 0; // a timer
  #readAt = -Infinity;
  #touched = false; // a person opened or closed it
  #outputs = new Map(); // index -> Output of an open target

  constructor(job, kind) {
    this.#job = job;
    this.kind = kind;
    this.total = h('span', { class: 'count' });
    this.sign = icon(kind.sign);
    this.sign.dataset.state = kind.sign;
    // Explicit roles: a narrow page lays the table out as cards, which removes its implicit roles.
    this.table = h('table', { role: 'table' },
      h('caption', { class: 'visually-hidden' }, `${kind.title} targets`),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, [['Target', ''], ['Result', ''], ['Exit', 'number'], ['Attempt', 'number'], ['Finished', ''], ['Took', 'number'], ['Output', 'action']]
        .map(([name, kind]) => h('th', { scope: 'col', role: 'columnheader', class: kind }, name)))));
    this.range = h('span', { class: 'muted' });
    this.back = h('button', { type: 'button', class: 'quiet', data: { page: 'previous' }, on: { click: () => this.#turn(-1) } }, 'Previous');
    this.on = h('button', { type: 'button', class: 'quiet', data: { page: 'next' }, on: { click: () => this.#turn(1) } }, 'Next');
    this.pager = h('div', { class: 'pager', role: 'group', 'aria-label': `Pages of ${kind.title.toLowerCase()} targets` }, this.range, this.back, this.on);
    this.el = h('details', { class: 'group', data: { class: kind.name } },
      h('summary', { on: { click: () => { this.#touched = true; } } }, icon('chevron'), this.sign, h('h3', {}, kind.title, ' ', this.total)),
      this.table, this.pager);
    this.el.addEventListener('toggle', () => this.#wanted() && this.#soon());
  }

  close() {
    this.#reading?.abort();
    clearTimeout(this.#due);
    for (const output of this.#outputs.values()) output.close();
  }

  show(shown) {
    this.shown = shown;
    if (!shown) setHidden(this.el, true);
  }

  rewind() {
    this.#froms = [0];
  }

  update(step, params, size, other, fresh) {
    this.#step = { ...step };
    this.#params = params;
    this.size = size;
    if (other) {
      this.rewind();
      this.#touched = false;
      for (const output of this.#outputs.values()) output.close();
      this.#outputs.clear();
      list(this.table, [], rowKey);
      this.#readAt = -Infinity;
    }
    if (!this.shown) return;
    setHidden(this.el, size === 0);
    setText(this.total, size === undefined ? '' : count(size));
    setData(this.el, 'count', size);
    if (this.kind.name === 'unfinished') setIcon(this.sign, isAttempting(step.state) ? 'running' : step.state === 'pending' ? 'pending' : 'terminated');
    if (!this.#touched) this.el.open = this.kind.name !== 'succeeded' || (step.attempt > 0 && succeededOf(step) === step.total);
    if (fresh && this.#wanted()) this.#soon();
  }

  #wanted() {
    return this.shown && !this.el.hidden && this.el.open && this.#step;
  }

  #soon() {
    if (this.#due) return;
    const wait = Math.max(0, this.#readAt + gather - performance.now());
    this.#due = setTimeout(() => {
      this.#due = 0;
      this.#read();
    }, wait);
  }

  #turn(by) {
    if (by < 0 && this.#froms.length > 1) this.#froms.pop();
    else if (by > 0 && this.#next !== undefined) this.#froms.push(this.#next);
    else return;
    this.#read();
  }

  async #read() {
    this.#reading?.abort();
    const reading = new AbortController();
    this.#reading = reading;
    this.#readAt = performance.now();
    const step = this.#step;
    let page;
    try {
      page = await this.#job.targets(step.id, { ...this.#params, from: this.#froms.at(-1), limit: pageSize }, reading.signal);
    } catch {
      return; // aborted, or read again with the next event
    }
    if (reading.signal.aborted) return;
    if (!page.items.length && this.#froms.length > 1) {
      this.#froms.pop();
      this.#read();
      return;
    }
    this.#next = page.next;
    this.#fill(page.items, step);
  }

  #fill(targets, step) {
    list(this.table, targets, rowKey, (target) => this.#row(target), (el, target) => this.#set(el, target, step));
    const first = (this.#froms.length - 1) * pageSize;
    setText(this.range, `${count(first + 1)}–${count(first + targets.length)}${this.size === undefined ? '' : ` of ${count(this.size)}`}`);
    setHidden(this.pager, this.#froms.length === 1 && this.#next === undefined);
    setAttribute(this.back, 'disabled', this.#froms.length === 1);
    setAttribute(this.on, 'disabled', this.#next === undefined);
  }

  #row(target) {
    const cells = {
      name: bdi(target.name, { class: 'name' }), detail: h('bdi', { class: 'detail' }),
      sign: icon('pending'), status: h('span', {}), exit: h('td', { role: 'cell', class: 'number', data: { label: 'Exit' } }),
      attempt: h('td', { role: 'cell', class: 'number', data: { label: 'Attempt' } }), finished: h('td', { role: 'cell', data: { label: 'Finished' } }),
      took: h('td', { role: 'cell', class: 'number', data: { label: 'Took' } }), output: h('td', { role: 'cell', class: 'action' }),
    };
    cells.when = h('time', {});
    cells.finished.append(cells.when);
    cells.button = h('button', { type: 'button', class: 'quiet', 'aria-expanded': 'false', data: { output: target.index }, on: { click: () => this.#toggle(target.index) } },
      'Output', h('span', { class: 'visually-hidden' }, ` of ${isolated(target.name)}`));
    cells.output.append(cells.button);
    const el = h('tbody', { role: 'rowgroup', data: { target: target.index } }, h('tr', { role: 'row' },
      h('th', { scope: 'row', role: 'rowheader' }, cells.name, cells.detail), h('td', { role: 'cell', class: 'result' }, cells.sign, cells.status),
      cells.exit, cells.attempt, cells.finished, cells.took, cells.output));
    el.cells = cells;
    return el;
  }

  #set(el, target, step) {
    const { cells } = el;
    el.target = target;
    setData(el, 'name', target.name);
    setData(el, 'status', target.status);
    const sign = signOf(target.status);
    setIcon(cells.sign, sign);
    setText(cells.status, target.status === 'none' ? 'not started' : plain(target.status));
    setText(cells.detail, target.detail ?? '');
    const ended = Boolean(target.finished);
    setText(cells.exit, ended ? target.exit_code : '—');
    setText(cells.attempt, target.attempt || '—');
    setText(cells.when, time(target.finished));
    setAttribute(cells.when, 'title', ended ? fullTime(target.finished) : null);
    setText(cells.took, spent(target.started, target.finished));
    setHidden(cells.button, step.type === 'file_transfer' || !target.attempt || target.status === 'waiting');
    const output = this.#outputs.get(target.index);
    if (output) output.update(attemptOf(target, step), grows(target, step));
  }

  #toggle(index) {
    const el = [...this.table.tBodies].find((body) => body.target?.index === index);
    const open = this.#outputs.get(index);
    setAttribute(el.cells.button, 'aria-expanded', String(!open));
    if (open) {
      open.close();
      this.#outputs.delete(index);
      return;
    }
    const output = new Output(this.#job, this.#step.id, el.target);
    this.#outputs.set(index, output);
    el.append(output.el);
    output.update(attemptOf(el.target, this.#step), grows(el.target, this.#step));
  }
}

// attemptOf returns the attempt of the output of a target: that of its result.
const attemptOf = (target, step) => (target.finished ? target.attempt : step.attempt);

const grows = (target, step) => !target.finished && isAttempting(step.state);

function signOf(status) {
  switch (status) {
    case 'succeeded':
    case 'succeeded_earlier':
      return 'succeeded';
    case 'waiting':
    case 'none':
      return 'pending';
    case 'running':
      return 'running';
    case 'terminated':
    case 'script_terminated':
      return 'terminated';
    case 'unknown':
      return 'abnormal';
  }
  return 'failed';
}

// summary returns the numbers of targets by result, in words.
export function summary(step) {
  const failed = failedOf(step);
  const parts = [`${count(succeededOf(step))} of ${plural(step.total, 'target')} succeeded`];
  if (failed) parts.push(`${count(failed)} failed`);
  if (step.attempt && unfinishedOf(step)) parts.push(`${count(unfinishedOf(step))} not finished`);
  return parts.join(', ');
}
