// The dialog of an operation. It shows the expected result, asks for a reason, and sends the
// operation once, under the condition that the job has not changed since. If the job has changed,
// it shows the changes and the operations that are legal now.

import { Lost, Problem } from './api.js';
import { bdi, h, replace, setAttribute, setData, setHidden, setText, uniqueId } from './dom.js';
import { count, plural, time } from './format.js';
import { badge, icon } from './icons.js';
import { moves } from './model.js';
import { runsDue } from './rules.js';
import { any, codeOf, consequences, dangerous, didWhat, didWho, isOfJob, isolated, jobCodeOf, plain, whyNot } from './words.js';

const mostNames = 100; // names of targets shown
const mostRecords = 100; // records of the history shown
const tries = 4; // dry runs on a job that changes all the time
const findOut = [0, 500, 1000, 2000, 4000, 8000]; // delays between searches for a request after a lost answer

// The phases of a dialog.
const phases = {
  looking: { buttons: ['close'] }, // sends the dry run
  ready: { buttons: ['close', 'confirm'] }, // shows its result
  sending: { buttons: ['close', 'confirm'] }, // sends the operation
  refused: { buttons: ['close', 'look'] }, // nothing was done
  busy: { buttons: ['close', 'look', 'again'] }, // nothing was done, and the same request can be sent again
  lost: { buttons: ['close', 'again'] }, // no answer came
};

// An OperationDialog carries out one operation on a step or on the job. page is {rules, model, job,
// learn(receipt), notice(text)}; subject is {step, code} or {jobCode}.
export class OperationDialog {
  #page;
  #subject;
  #request = crypto.randomUUID(); // the same for every request of this dialog: the server carries it out once
  #seen = 0; // the version of the dry run shown
  #moved = 0; // the version of the latest change since
  #phase = '';
  #closed = new AbortController();
  #buttons;

  constructor(page, subject) {
    this.#page = page;
    this.#subject = subject;
    const { title, number, what } = subject.code ? codeOf(subject.code) : jobCodeOf(subject.jobCode);
    this.title = title;
    const heading = uniqueId('operation'), about = uniqueId('operation-about'), reason = uniqueId('reason');
    this.preview = h('div', { class: 'preview', data: { preview: '' } });
    this.trouble = h('div', { class: 'trouble', tabindex: '-1', role: 'alert', data: { trouble: '' } });
    this.reason = h('textarea', { id: reason, name: 'reason', rows: 2, maxlength: 2000, autofocus: true, autocomplete: 'off', data: { reason: '' } });
    this.field = h('div', { class: 'field' }, h('label', { for: reason }, 'Reason ', h('span', { class: 'muted' }, 'kept in the history, optional')), this.reason);
    this.#buttons = {
      close: this.#button('close', 'Cancel', () => this.el.close()),
      look: this.#button('look', 'Look again', () => this.#look()),
      again: this.#button('again', 'Send again', () => this.#send()),
      confirm: h('button', { type: 'submit', class: `primary${dangerous.has(subject.code ?? subject.jobCode) ? ' danger' : ''}`, data: { action: 'confirm' } }, title),
    };
    this.el = h('dialog', {
      class: 'operation', 'aria-labelledby': heading, 'aria-describedby': about,
      data: { dialog: 'operation', code: subject.code, 'job-code': subject.jobCode, step: subject.step, request: this.#request },
    }, h('form', { method: 'dialog', on: { submit: (event) => { event.preventDefault(); this.#send(); } } },
      h('header', {},
        h('h2', { id: heading }, h('span', { class: 'number' }, subject.code ? number : `job ${number}`), title),
        h('p', { id: about, class: 'muted' }, this.#about(), ' ', what)),
      h('div', { class: 'body' }, this.trouble, this.preview, this.field),
      h('footer', {}, Object.values(this.#buttons))));
    this.el.addEventListener('close', () => this.#end());
  }

  // open shows the dialog and resolves when it is closed.
  open() {
    document.body.append(this.el);
    this.el.showModal();
    this.#look();
    return new Promise((resolve) => this.#closed.signal.addEventListener('abort', resolve));
  }

  // tell passes new records to the open dialog: its dry run may be outdated.
  tell(records) {
    const moved = records.filter(moves).at(-1);
    if (!moved || moved.seq <= this.#seen || records.some((record) => record.request === this.#request)) return;
    this.#moved = moved.seq;
    if (this.#phase === 'ready') this.#refused({ reason: 'stale' });
  }

  #end() {
    this.#closed.abort();
    this.el.remove();
  }

  #button(action, text, click) {
    return h('button', { type: 'button', data: { action }, on: { click } }, text);
  }

  #about() {
    const { job, steps } = this.#page.model;
    const step = steps.get(this.#subject.step);
    return step ? `Step ${step.id}, ${isolated(step.name)}, of ${isolated(job.name)}.` : `${isolated(job.name)}.`;
  }

  #enter(phase) {
    this.#phase = phase;
    setData(this.el, 'phase', phase);
    for (const [name, button] of Object.entries(this.#buttons)) setHidden(button, !phases[phase].buttons.includes(name));
    setText(this.#buttons.close, phase === 'ready' || phase === 'looking' ? 'Cancel' : 'Close');
    setAttribute(this.#buttons.confirm, 'aria-disabled', phase === 'sending' ? 'true' : null);
    setText(this.#buttons.confirm, phase === 'sending' ? 'Sending…' : this.title);
    setHidden(this.trouble, !['refused', 'busy', 'lost'].includes(phase));
    setHidden(this.field, !['looking', 'ready', 'sending'].includes(phase));
    setHidden(this.preview, !['looking', 'ready', 'sending'].includes(phase));
    for (const name of ['look', 'again']) this.#buttons[name].classList.toggle('primary', name === phases[phase].buttons.at(-1));
  }

  #call(body, version) {
    const { job } = this.#page;
    const { step, code, jobCode } = this.#subject;
    return code ? job.operate(step, { code, ...body }, version) : job.operateJob(jobCode, body, version);
  }

  // look sends a dry run at the latest version.
  async #look() {
    this.#enter('looking');
    if (document.activeElement === document.body || this.el.contains(document.activeElement)) this.reason.focus();
    replace(this.preview, h('p', { class: 'muted' }, 'Reading the expected result…'));
    const { model, job } = this.#page;
    try {
      for (let left = tries; ; left -= 1) {
        this.#seen = model.moved;
        try {
          const receipt = await this.#call({ dry_run: true }, this.#seen);
          const [targets, entered] = await this.#affected(receipt);
          if (this.#moved > this.#seen && left > 1) continue;
          this.#show(receipt, targets, entered);
          return;
        } catch (error) {
          if (!(error instanceof Problem) || error.reason !== 'stale' || left <= 1) throw error;
          model.learnJob(await job.get());
        }
      }
    } catch (error) {
      if (error instanceof Problem) this.#refused(error);
      else this.#refused({ title: 'No answer came; nothing was done' });
    }
  }

  // affected returns the targets of a receipt, and the step that starts.
  async #affected(receipt) {
    const { job, model, rules } = this.#page;
    const about = receipt.entered || receipt.step;
    const step = model.steps.get(about) ?? await job.step(about);
    if (receipt.effect !== 'run' && receipt.effect !== 'stop') return [[], step];
    const kind = receipt.effect === 'stop' ? 'unfinished' : !receipt.entered && this.#subject.code && runsDue(rules, this.#subject.code) ? 'due' : 'all';
    const { items } = await job.targets(about, { class: kind, limit: mostNames });
    return [items, step];
  }

  #show(receipt, targets, step) {
    const change = (what, from, to) => h('li', { class: 'change' }, h('span', {}, what), badge(from), icon('arrow'), h('span', { class: 'visually-hidden' }, 'becomes'), badge(to));
    const all = [];
    if (receipt.to) all.push(change(`Step ${receipt.step}`, receipt.from, receipt.to));
    all.push(change('Job', receipt.job_from, receipt.job_to));
    const runs = receipt.effect === 'run', asks = receipt.effect === 'ask';
    if (receipt.entered) {
      all.push(h('li', {}, `Step ${receipt.entered}, ${isolated(step.name)}, starts` + (asks ? ` and asks ${confirmersOf(step)}.` : '.')));
    } else if (asks) {
      all.push(h('li', {}, `Attempt ${receipt.attempt} asks ${confirmersOf(step)}.`));
    } else if (runs) {
      all.push(h('li', {}, `Attempt ${receipt.attempt} begins.`));
    } else if (receipt.effect === 'stop') {
      all.push(h('li', {}, `The executor is told to stop attempt ${receipt.attempt}.`));
    } else if (receipt.effect === 'job_ended') {
      all.push(h('li', {}, 'The job ends.'));
    }
    const size = runs ? receipt.targets : step.unfinished;
    const shown = [h('h3', {}, 'Expected result'), h('ul', { class: 'consequences' }, all)];
    if (runs || receipt.effect === 'stop') shown.push(...namesOf(targets, size, runs ? `${count(size)} of ${plural(step.total, 'target')} ${size === 1 ? 'runs' : 'run'}` : `${plural(size, 'target')} not finished`));
    shown.push(h('p', { class: 'muted small' }, `As of version ${this.#seen}. If the job changes before you confirm, nothing is done.`));
    replace(this.preview, shown);
    setData(this.el, 'version', this.#seen);
    setData(this.el, 'targets', runs ? receipt.targets : 0);
    this.#enter('ready');
  }

  // send sends the operation under the condition of the version shown.
  async #send() {
    if (this.#phase !== 'ready' && this.#phase !== 'lost' && this.#phase !== 'busy') return;
    this.#enter('sending');
    const reason = this.reason.value.trim();
    try {
      this.#done(await this.#call({ request_id: this.#request, ...(reason && { reason }) }, this.#seen));
    } catch (error) {
      if (error instanceof Problem && !error.unknown) await this.#refused(error);
      else if (error instanceof Problem || error instanceof Lost) await this.#lost();
      else throw error;
    }
  }

  #done(receipt) {
    this.#page.learn(receipt);
    this.#page.notice(`${this.title}: done. ${sentence(consequences(receipt))}`);
    this.el.close();
  }

  // refused shows a refusal: its reason, the changes since, and the operations that are legal now.
  async #refused(problem) {
    this.#enter(['conflict', 'busy', 'incomplete_body'].includes(problem.reason) ? 'busy' : 'refused');
    setData(this.el, 'reason', problem.reason ?? 'lost');
    const { model, job } = this.#page;
    const step = model.steps.get(this.#subject.step);
    const since = h('div', { data: { meanwhile: '' } }), legal = h('p', { data: { 'legal-now': '' } });
    replace(this.trouble, h('h3', {}, 'Nothing was done'), h('p', {}, whyNot({ ...problem, cause: this.#subject.code ?? this.#subject.jobCode }, step)), since, legal);
    this.trouble.focus();
    try {
      const { items } = await job.history({ after: this.#seen, limit: mostRecords });
      const own = items.find((record) => record.request === this.#request);
      if (own) return this.#found(own);
      const moved = items.filter(moves);
      if (moved.length) replace(since, h('h3', {}, 'Meanwhile'), h('ol', { class: 'meanwhile' }, moved.map(line)));
      const header = await job.get();
      model.learnJob(header);
      const explanation = await job.explain(header.current);
      model.learnExplanation(explanation);
      replace(legal, legalNow(explanation));
    } catch {
      replace(legal, 'The page could not read the legal operations.');
    }
  }

  // lost shows that the outcome is unknown, and searches the history for the request.
  async #lost() {
    this.#enter('lost');
    setData(this.el, 'reason', 'lost');
    const found = h('p', { data: { found: '' } }, 'Looking for it in the history…');
    replace(this.trouble, h('h3', {}, 'No answer came'),
      h('p', {}, 'The outcome is unknown. Sending it again is safe: the server carries it out once at most.'), found);
    this.trouble.focus();
    for (const delay of findOut) {
      await new Promise((resolve) => setTimeout(resolve, delay));
      if (this.#closed.signal.aborted || this.#phase !== 'lost') return;
      try {
        const { items } = await this.#page.job.history({ after: this.#seen, limit: mostRecords });
        const own = items.find((record) => record.request === this.#request);
        if (own) return this.#found(own);
        setText(found, 'The history does not have it so far.');
      } catch {
        setText(found, 'The server does not answer.');
      }
    }
  }

  #found(record) {
    this.#page.notice(`${this.title}: it was done. ${sentence(consequences(record))}`);
    this.el.close();
  }
}

const confirmersOf = (step) => (step.confirmers?.length ? any(step.confirmers) : 'everyone');

function sentence(parts) {
  const text = parts.join(', ');
  return text ? `${text[0].toUpperCase()}${text.slice(1)}.` : '';
}

function namesOf(targets, size, heading) {
  const left = size - targets.length;
  return [
    h('h3', { data: { 'target-count': size } }, heading),
    h('ul', { class: 'names', tabindex: '0', 'aria-label': 'Targets' }, targets.map((target) => h('li', {}, bdi(target.name))),
      left > 0 && h('li', { class: 'muted' }, `and ${count(left)} more`)),
  ];
}

// line is a record in the list of changes.
function line(record) {
  return h('li', {}, h('span', { class: 'muted' }, time(record.at)), ' ', h('strong', {}, bdi(didWho(record))), ` ${didWhat(record)}: `,
    consequences(record).join(', '), record.reason && [' (“', bdi(record.reason), '”)']);
}

function legalNow({ job, step, causes }) {
  const legal = causes.filter((v) => v.legal).map(({ cause }) => (isOfJob(cause) ? jobCodeOf(cause) : codeOf(cause)).title.toLowerCase());
  return [h('strong', {}, 'Now: '), `the job is ${plain(job.state)}, step ${step.id} is ${plain(step.state)}. Legal for you: ${legal.length ? legal.join(', ') : 'nothing'}.`];
}
