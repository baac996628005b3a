// The page of one job. Events update it at once; answers of the server follow and complete it.

import { Lost, Problem, jobCalls, pages } from './api.js';
import { OperationDialog } from './dialog.js';
import { h, setAttribute, setData, setHidden, setText } from './dom.js';
import { count, fullTime, plural, spent, time } from './format.js';
import { badge, setBadge } from './icons.js';
import { Stream } from './events.js';
import { History } from './history.js';
import { Model, moves } from './model.js';
import { Operations } from './operations.js';
import { jobCodesOf } from './rules.js';
import { StepBar, StepView } from './steps.js';
import { Targets, failedOf } from './targets.js';
import { any, isActive, isolated, plain, waitsFor } from './words.js';

const stepsPage = 1000;
const fewSteps = 4; // read one by one; for more, the page reads all steps
const assure = 20_000; // milliseconds between two checks of the stream against the server
const assureLost = 3_000; // the same without a stream

// A JobPage shows a job. app is {rules, person, notice(text), connection(state), again(text)}.
export class JobPage {
  #app;
  #pinned = 0; // the step that a person chose; 0 follows the job
  #stale = new Set(); // steps to read again
  #refreshing = false;
  #interrupted = false; // the stream was interrupted
  #dialog = null;
  #timers = [];
  #assured = performance.now(); // time of the last check of the stream
  #closed = new AbortController();

  constructor(app, id) {
    this.#app = app;
    this.rules = app.rules;
    this.notice = app.notice;
    this.job = jobCalls(id);
    this.model = new Model(app.rules);
    this.stream = new Stream(this.job, app.person, {
      records: (records) => this.#records(records), connection: (state) => this.#connection(state), reset: () => this.#reset(),
    });

    this.heading = h('h1', { tabindex: '-1', dir: 'auto' }, `Job ${id}`);
    this.badge = badge('pending', { id: 'job-state' });
    this.situation = h('p', { class: 'situation', role: 'status', data: { situation: '' } });
    this.facts = Object.fromEntries([['id', 'Job'], ['scope', 'Scope'], ['created', 'Created'], ['started', 'Started'], ['took', 'Took'], ['version', 'Version']]
      .map(([name, title]) => [name, { title, value: h('dd', { dir: 'auto', data: { fact: name } }), el: null }]));
    this.jobOperations = new Operations('job-code', 'Operations on the job', (jobCode) => this.#operate({ jobCode }));
    this.bar = new StepBar((id) => this.#choose(id));
    this.view = new StepView(app.rules, (code) => this.#operate({ step: this.#selected, code }));
    this.targets = new Targets(this.job);
    this.history = new History(this.job);
    this.body = h('div', { class: 'job-body', hidden: true },
      this.bar.el,
      h('div', { class: 'columns' },
        h('div', { class: 'main-column' }, this.view.el, this.targets.el, this.view.machine),
        h('div', { class: 'side-column' }, this.history.el)));
    this.head = h('div', { class: 'job-head', hidden: true },
      h('dl', { class: 'facts' }, Object.values(this.facts).map((fact) => { fact.el = h('div', {}, h('dt', {}, fact.title), fact.value); return fact.el; })),
      this.situation);
    this.state = h('p', { class: 'muted', role: 'status' }, 'Reading the job…');
    this.el = h('div', { class: 'job-page', data: { page: 'job', job: id } },
      h('div', { class: 'title-row' }, h('div', { class: 'title' }, this.heading, this.badge), this.jobOperations.el),
      this.head, this.state, this.body);
    setHidden(this.badge, true);
  }

  get #selected() {
    return this.#pinned || this.model.job.current;
  }

  // open reads the job and follows it.
  async open() {
    try {
      if (!this.model.job) this.#begin(await this.job.get(this.#closed.signal));
      const { job, version } = this.model;
      const [, first] = await Promise.all([this.#readSteps(version), this.job.explain(job.current, this.#closed.signal)]);
      this.model.learnExplanation(first);
    } catch (error) {
      if (!this.#closed.signal.aborted) this.#failed(error);
      return;
    }
    setHidden(this.state, true);
    for (const el of [this.badge, this.head, this.body]) setHidden(el, false);
    this.#render(true);
    this.#timers.push(setInterval(() => this.#tick(), 500), setInterval(() => this.#assure(), assureLost));
  }

  #begin(job) {
    this.model.begin(job);
    this.history.open(job.version);
    this.stream.open(job.version);
  }

  close() {
    this.#closed.abort();
    this.stream.close();
    this.targets.close();
    this.history.close();
    this.#dialog?.el.close();
    this.#timers.forEach(clearInterval);
  }

  // learn shows the receipt of an operation of this window at once.
  learn(receipt) {
    this.model.learnReceipt(receipt);
    this.stream.expect(receipt.seq);
    this.#moved([receipt]);
    this.#render(true);
  }

  #failed(error) {
    setData(this.el, 'failed', error.reason ?? 'lost');
    if (error instanceof Problem && error.status === 404) {
      this.#app.connection('none');
      document.title = 'No such job · Stepgate';
      setText(this.heading, 'There is no such job');
      setText(this.state, 'The server has no job with this number, or its scope is hidden from you.');
      return;
    }
    this.#app.connection(error instanceof Lost ? 'lost' : 'refused');
    setText(this.state, `The job cannot be read: ${error instanceof Lost ? 'the server does not answer' : error.message}. Trying again…`);
    const timer = setTimeout(() => this.open(), 2000);
    this.#closed.signal.addEventListener('abort', () => clearTimeout(timer));
  }

  async #readSteps(asOf) {
    for await (const items of pages((params) => this.job.steps(params, this.#closed.signal), { limit: stepsPage })) {
      this.model.learnSteps(items, asOf);
    }
  }

  #records(records) {
    this.model.learnRecords(records);
    this.history.add(records, this.stream);
    if (!this.model.steps.size) return; // before the first answers
    this.#dialog?.tell(records);
    this.#moved(records.filter(moves));
    this.#render(records.some((record) => record.step === this.#selected || record.entered === this.#selected));
  }

  // moved marks the steps of changes to read them again.
  #moved(changes) {
    if (!changes.length) return;
    for (const change of changes) {
      if (change.step) this.#stale.add(change.step);
      if (change.entered) this.#stale.add(change.entered);
    }
    this.#refresh();
  }

  // refresh reads the stale steps and the legal operations. Calls during a refresh become one.
  async #refresh() {
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      while (this.#stale.size && !this.#closed.signal.aborted) {
        const selected = this.#selected;
        const asOf = this.model.version;
        const stale = [...this.#stale].filter((id) => id !== selected);
        this.#stale.clear();
        const { signal } = this.#closed;
        const [explanation, steps] = await Promise.all([
          this.job.explain(selected, signal),
          stale.length <= fewSteps ? Promise.all(stale.map((id) => this.job.step(id, signal))) : this.#readSteps(asOf),
        ]);
        if (steps) this.model.learnSteps(steps, asOf);
        this.model.learnExplanation(explanation);
        this.stream.expect(explanation.job.version);
        this.#render(false);
      }
    } catch {
      if (!this.#closed.signal.aborted) setTimeout(() => this.#again(), 1000);
    } finally {
      this.#refreshing = false;
    }
  }

  // again reads the legal operations of the selected step.
  #again() {
    if (this.#closed.signal.aborted || !this.model.job) return;
    this.#stale.add(this.#selected);
    this.#refresh();
  }

  async #assure() {
    const due = this.#interrupted ? 0 : this.#assured + assure;
    if (document.hidden || performance.now() < due) return;
    this.#assured = performance.now();
    try {
      const { last } = this.stream;
      const job = await this.job.get(this.#closed.signal);
      if (job.version < last) this.#reset();
      this.stream.expect(job.version);
    } catch (error) {
      if (error instanceof Problem && error.status === 404) this.#gone();
    }
  }

  // reset reads everything again: the server has fewer records than the page, as after a restore of
  // a backup.
  #reset() {
    if (!this.#closed.signal.aborted) {
      this.#app.again('The server has lost records that this page has shown: its store was probably restored from a backup. The page has read the job again.');
    }
  }

  // gone shows that the job no longer exists, as after a restart of a console with jobs in memory.
  // The page keeps its last known state.
  #gone() {
    const text = 'The job is gone: the server no longer has it. The page shows its last known state.';
    this.close();
    this.#app.connection('none');
    setData(this.el, 'failed', 'no_such_job');
    setText(this.situation, text);
    this.notice(text);
  }

  #connection(state) {
    this.#app.connection(state);
    this.history.count(this.stream);
    if (state === 'connected' && this.#interrupted) this.#again();
    this.#interrupted = state === 'reconnecting' || state === 'lost';
  }

  #choose(id) {
    this.#pinned = id === this.model.job.current ? 0 : id;
    this.#render(true);
    this.#again();
  }

  async #operate(subject) {
    const dialog = new OperationDialog(this, subject);
    this.#dialog = dialog;
    const held = document.activeElement;
    await dialog.open();
    this.#dialog = null;
    this.#keepFocus(held);
  }

  // keepFocus moves the focus to the step if the focused element is gone and no other one has the
  // focus: the job's next step has other buttons.
  #keepFocus(held) {
    const lost = document.activeElement === document.body && held !== document.body && !held.isConnected;
    if (lost && this.el.isConnected) this.view.heading.focus();
  }

  #render(results) {
    const { job } = this.model;
    const held = document.activeElement;
    const step = this.model.steps.get(this.#selected);
    if (!step) return;
    const explanation = this.model.explanation(step.id);
    if (!explanation) this.#again();
    document.title = `${isolated(job.name)}: ${plain(job.state)} · Stepgate`;
    setText(this.heading, job.name);
    setData(this.el, 'state', job.state);
    setData(this.el, 'version', job.version);
    setBadge(this.badge, job.state);
    setText(this.facts.id.value, job.id);
    setText(this.facts.scope.value, `${job.scope.type}/${job.scope.id}`);
    setHidden(this.facts.scope.el, !job.scope.type);
    for (const name of ['created', 'started']) {
      setText(this.facts[name].value, time(job[name]));
      setAttribute(this.facts[name].value, 'title', fullTime(job[name]));
    }
    setText(this.facts.version.value, job.version);
    setText(this.situation, situation(job, this.model.current));
    this.jobOperations.update(jobCodesOf(this.rules), explanation?.causes, step);
    this.bar.update(this.model, step.id);
    this.view.update(step, explanation);
    this.targets.update(step, results);
    this.#tick();
    this.#keepFocus(held);
  }

  #tick() {
    const { job } = this.model;
    setText(this.facts.took.value, spent(job.started, job.finished));
    setHidden(this.facts.took.el, !job.started);
    this.bar.tick();
    if (this.view.step && isActive(this.view.step.state)) this.view.tick();
  }
}

// situation returns the state of a job in a sentence, with the next actor.
function situation(job, step) {
  if (!step) return '';
  const name = `Step ${count(step.id)} of ${count(job.steps)}, ${isolated(step.name)},`;
  switch (job.state) {
    case 'pending':
      return 'The job has not been started yet.';
    case 'running':
      return `${name} is running.`;
    case 'waiting':
      return `${name} waits for ${step.confirmers ? any(step.confirmers) || 'a confirmer (the list is empty)' : 'a person'} to confirm.`;
    case 'failed':
      return `${name} has failed on ${count(failedOf(step))} of ${plural(step.total, 'target')}. A person decides how to go on.`;
    case 'abnormal':
      return `${name} broke or ran out of time: its outcome is unknown. A person decides how to go on.`;
    case 'gated':
      return `${name} waits ${waitsFor(step.gate)}.`;
    case 'terminating':
      return `${name} was told to stop and has not stopped yet.`;
    case 'terminated':
      return `${name} was stopped.` + (step.type === 'confirmation' ? '' : ' A person decides how to go on.');
    case 'confirmation_terminated':
      return `${name} was refused. The confirmers can be asked again.`;
    case 'abandoned':
      return `${name} was dropped by its executor for good.`;
    case 'succeeded': {
      const hidden = [];
      if (job.skipped) hidden.push(`${count(job.skipped)} skipped`);
      if (job.ignored) hidden.push(`${count(job.ignored)} with ${job.ignored === 1 ? 'its error' : 'their errors'} ignored`);
      return `All ${plural(job.steps, 'step')} have passed` + (hidden.length ? `, ${hidden.join(' and ')}.` : '.');
    }
  }
  return `${name} is ${plain(job.state)}.`;
}
