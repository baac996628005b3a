// The steps of a job as a bar, and the selected step in full: its state, its progress, and its
// operations.

import { Diagram } from './diagram.js';
import { bdi, h, list, replace, setAttribute, setData, setHidden, setText } from './dom.js';
import { count, duration, fullTime, left, spent, time } from './format.js';
import { badge, icon, setBadge, setIcon } from './icons.js';
import { Operations } from './operations.js';
import { codesOf } from './rules.js';
import { failedOf, succeededOf, summary, unfinishedOf } from './targets.js';
import { any, isAttempting, isolated, plain, typeOf, waitsFor } from './words.js';

// A StepBar shows all steps; choose gets the number of the pressed one.
export class StepBar {
  constructor(choose) {
    this.choose = choose;
    this.list = h('ol', { class: 'steps' });
    this.el = h('nav', { class: 'step-bar', 'aria-label': 'Steps' }, this.list);
  }

  update(model, selected) {
    list(this.list, [...model.steps.values()], (step) => step.id, (step) => this.#create(step), (el, step) => {
      el.step = step;
      setAttribute(el.button, 'aria-pressed', step.id === selected ? 'true' : 'false');
      setAttribute(el.button, 'aria-current', step.id === model.job.current ? 'step' : null);
      setData(el.button, 'state', step.state);
      setData(el.button, 'attempt', step.attempt);
      setIcon(el.sign, step.state);
      setText(el.state, plain(step.state));
      setText(el.attempt, step.attempt > 1 ? `attempt ${step.attempt}` : '');
      this.#time(el);
    });
    if (selected !== this.selected) this.#show(selected);
    this.selected = selected;
  }

  // tick shows the time that has passed.
  tick() {
    for (const el of this.list.children) if (isAttempting(el.step.state)) this.#time(el);
  }

  #time(el) {
    setText(el.spent, el.step.started ? spent(el.step.started, el.step.finished) : '');
  }

  #show(selected) {
    const el = [...this.list.children].find((child) => child.step.id === selected);
    if (!el || this.list.scrollWidth <= this.list.clientWidth) return;
    this.list.scrollLeft = el.offsetLeft - (this.list.clientWidth - el.offsetWidth) / 2;
  }

  #create(step) {
    const parts = { sign: icon(step.state), state: h('span', { class: 'state' }), attempt: h('span', {}), spent: h('span', { class: 'spent' }) };
    parts.button = h('button', { type: 'button', title: isolated(step.name), data: { step: step.id }, on: { click: () => this.choose(step.id) } },
      parts.sign, h('span', { class: 'text' },
        h('span', { class: 'name' }, h('span', { class: 'id' }, step.id), ' ', bdi(step.name)),
        h('span', { class: 'line' }, parts.state, parts.attempt, parts.spent)));
    return Object.assign(h('li', {}, parts.button), parts);
  }
}

// A Progress shows the numbers of succeeded, failed and unfinished targets.
export class Progress {
  constructor() {
    this.parts = Object.fromEntries(['succeeded', 'failed', 'unfinished'].map((name) => [name, h('span', { class: 'part', data: { part: name } })]));
    this.bar = h('div', { class: 'bar', role: 'progressbar', 'aria-label': 'Targets', 'aria-valuemin': 0, data: { progress: '' } }, Object.values(this.parts));
    this.text = h('p', { class: 'counts' });
    this.el = h('div', { class: 'progress-of-targets' }, this.bar, this.text);
    this.counts = {};
    for (const [name, sign, words] of [['succeeded', 'succeeded', 'succeeded'], ['failed', 'failed', 'failed'], ['unfinished', 'pending', 'not finished']]) {
      const number = h('strong', {});
      const mark = icon(sign);
      mark.dataset.state = sign;
      this.counts[name] = { number, el: h('span', { data: { count: name } }, mark, number, ` ${words}`) };
      this.text.append(this.counts[name].el);
    }
  }

  update(step) {
    setHidden(this.el, step.total === 0);
    if (step.total === 0) return;
    const at = { succeeded: succeededOf(step), failed: failedOf(step), unfinished: unfinishedOf(step) };
    for (const [name, n] of Object.entries(at)) {
      setHidden(this.parts[name], n === 0);
      this.parts[name].style.flexGrow = n;
      setText(this.counts[name].number, count(n));
      setHidden(this.counts[name].el, n === 0 && name !== 'succeeded');
      setData(this.bar, name, n);
    }
    setAttribute(this.bar, 'aria-valuemax', step.total);
    setAttribute(this.bar, 'aria-valuenow', at.succeeded + at.failed);
    setAttribute(this.bar, 'aria-valuetext', summary(step));
  }
}

// A StepView shows one step in full. press gets a legal code.
export class StepView {
  #rules;
  #diagrams = new Map(); // by type

  constructor(rules, press) {
    this.#rules = rules;
    this.number = h('span', { class: 'id' });
    this.name = bdi('');
    this.badge = badge('pending');
    this.facts = h('dl', { class: 'facts' });
    this.progress = new Progress();
    this.operations = new Operations('code', 'Operations on the step', press);
    this.place = h('div', {});
    this.undrawn = h('p', { class: 'muted', data: { undrawn: '' } }, 'The page cannot draw the rules of this type.');
    this.el = h('section', { class: 'card step', 'aria-labelledby': 'step-heading' },
      h('div', { class: 'card-head' }, this.heading = h('h2', { id: 'step-heading', tabindex: '-1' }, this.number, ' ', this.name), this.badge),
      this.facts, this.progress.el, this.operations.el);
    this.machine = h('section', { class: 'card', 'aria-labelledby': 'machine-heading' },
      h('div', { class: 'card-head' }, h('h2', { id: 'machine-heading' }, 'State machine'), this.kind = h('span', { class: 'muted small' })), this.place);
  }

  update(step, explanation) {
    this.step = step;
    setData(this.el, 'selected', step.id);
    setData(this.el, 'state', step.state);
    setText(this.number, `Step ${step.id}`);
    setText(this.name, step.name);
    setBadge(this.badge, step.state);
    this.tick();
    this.progress.update(step);
    this.operations.update(codesOf(this.#rules, step.type), explanation?.causes, step);
    setText(this.kind, typeOf(step.type));
    const legal = (verdicts) => new Set((verdicts ?? []).filter((verdict) => verdict.legal).map((verdict) => verdict.cause));
    const current = explanation?.job.current === step.id;
    const diagram = this.#diagramOf(step.type);
    replace(this.place, diagram?.el ?? this.undrawn);
    diagram?.light(step.state, legal(explanation?.causes), current ? legal(explanation?.causes) : new Set());
  }

  // diagramOf returns the drawing of a type, or null if it cannot be drawn: the rest of the page
  // works without it.
  #diagramOf(type) {
    if (!this.#diagrams.has(type)) {
      this.#diagrams.set(type, null);
      try {
        this.#diagrams.set(type, new Diagram(this.#rules, type));
      } catch (error) {
        reportError(error);
      }
    }
    return this.#diagrams.get(type);
  }

  // tick shows the time that has passed.
  tick() {
    const { step } = this;
    const facts = [['Type', typeOf(step.type)]];
    if (step.attempt) facts.push(['Attempt', step.attempt], ['Started', time(step.started), fullTime(step.started)], [isAttempting(step.state) ? 'For' : 'Took', spent(step.started, step.finished)]);
    if (step.state === 'gated') facts.push(['Waits', waitsFor(step.gate)]);
    else if (step.stop_before && step.state === 'pending') facts.push(['Stop', 'before the step']);
    if (step.deadline) facts.push(['Time left', left(step.deadline), fullTime(step.deadline)]);
    else if (step.timeout_ms) facts.push(['Timeout', duration(step.timeout_ms)]);
    if (step.confirmers) facts.push(['Confirmers', step.confirmers.length ? any(step.confirmers) : 'none']);
    if (step.ignore_errors) facts.push(['Errors', 'ignored']);
    list(this.facts, facts, ([name]) => name, ([name]) => {
      const value = h('dd', { data: { fact: name.toLowerCase().replaceAll(' ', '-') } });
      return Object.assign(h('div', {}, h('dt', {}, name), value), { value });
    }, (el, [, value, title]) => {
      setText(el.value, value);
      setAttribute(el.value, 'title', title);
    });
  }
}
