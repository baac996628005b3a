// The list of jobs, newest first, read again each second while somebody looks.

import { listJobs } from './api.js';
import { bdi, h, list, setAttribute, setData, setHidden, setText } from './dom.js';
import { count, fullTime, plural, spent, time } from './format.js';
import { badge, icon, setBadge } from './icons.js';
import { plain } from './words.js';

const every = 1000; // milliseconds
const pageSize = 100;
const mostAtOnce = 1000; // jobs in one call

// The order of chips: what needs somebody, what is under way, what is done.
const states = ['failed', 'abnormal', 'waiting', 'terminated', 'confirmation_terminated', 'abandoned', 'running', 'terminating', 'pending', 'succeeded'];

// A JobsPage shows the list while it is open. app is {connection(state)}.
export class JobsPage {
  #app;
  #wanted = pageSize; // how many jobs are shown at most
  #state = ''; // the one that is asked for; empty for all
  #jobs = []; // what is shown, but for the text filter
  #timer = 0;
  #reading = null;
  #closed = new AbortController();

  constructor(app) {
    this.#app = app;
    this.heading = h('h1', { tabindex: '-1' }, 'Jobs');
    this.chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter by state' });
    this.filter = h('input', { type: 'search', id: 'filter', placeholder: 'Filter by name', autocomplete: 'off', 'aria-label': 'Filter by name', on: { input: () => this.#show() } });
    // The roles are said because a narrow page lays the table out as something else.
    this.rows = h('tbody', { role: 'rowgroup' });
    this.table = h('table', { class: 'jobs', role: 'table' }, h('caption', { class: 'visually-hidden' }, 'Jobs, newest first'),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, [['State', ''], ['Name', ''], ['Step', ''], ['Scope', 'wide'], ['Created', 'wide'], ['Took', 'number']]
        .map(([name, kind]) => h('th', { scope: 'col', role: 'columnheader', class: kind }, name)))), this.rows);
    this.empty = h('p', { class: 'muted empty' }, 'Reading the jobs…');
    this.older = h('button', { type: 'button', class: 'quiet', hidden: true, data: { older: '' }, on: { click: () => this.#more() } }, 'Older jobs');
    this.total = h('p', { class: 'muted small', data: { total: '' } });
    this.el = h('div', { class: 'jobs-page', data: { page: 'jobs' } },
      h('div', { class: 'title-row' }, h('div', { class: 'title' }, this.heading), this.filter),
      this.chips, h('section', { class: 'card flush', 'aria-label': 'Jobs' }, this.table, this.empty),
      h('div', { class: 'list-foot' }, this.total, this.older));
    document.addEventListener('visibilitychange', () => !document.hidden && this.#poll(), { signal: this.#closed.signal });
  }

  async open() {
    document.title = 'Jobs · Stepgate';
    this.#app.connection('connecting');
    await this.#poll();
  }

  close() {
    this.#closed.abort();
    this.#reading?.abort();
    clearTimeout(this.#timer);
  }

  async #poll() {
    clearTimeout(this.#timer);
    this.#reading?.abort();
    if (this.#closed.signal.aborted || document.hidden) return;
    const reading = new AbortController();
    this.#reading = reading;
    try {
      const [all, chosen] = await Promise.all([this.#read('', reading.signal), this.#state ? this.#read(this.#state, reading.signal) : null]);
      if (reading.signal.aborted) return;
      this.#app.connection('connected');
      this.#count(all);
      this.#jobs = (chosen ?? all).jobs;
      this.more = (chosen ?? all).more;
      this.#show();
    } catch (error) {
      if (reading.signal.aborted) return;
      this.#app.connection('lost');
      if (!this.#jobs.length) setText(this.empty, `The jobs cannot be read: ${error.message}.`);
    }
    this.#timer = setTimeout(() => this.#poll(), every);
  }

  // read reads as many jobs as are wanted, and whether there are more.
  async #read(state, signal) {
    const jobs = [];
    let after;
    do {
      const page = await listJobs({ newest: true, state, after, limit: Math.min(this.#wanted - jobs.length, mostAtOnce) }, signal);
      jobs.push(...page.items);
      after = page.next;
    } while (after !== undefined && after !== null && jobs.length < this.#wanted);
    return { jobs, more: after !== undefined && after !== null };
  }

  #more() {
    this.#wanted += pageSize;
    this.#poll();
  }

  #choose(state) {
    this.#state = state === this.#state ? '' : state;
    this.#wanted = pageSize;
    this.#poll();
  }

  // count shows how many of the jobs that were read are in which state.
  #count({ jobs, more }) {
    const counts = new Map();
    for (const job of jobs) counts.set(job.state, (counts.get(job.state) ?? 0) + 1);
    const known = [...states, ...[...counts.keys()].filter((state) => !states.includes(state))];
    const shown = ['', ...known.filter((state) => counts.has(state) || state === this.#state)];
    const scope = more ? ` among the newest ${count(jobs.length)}` : '';
    list(this.chips, shown, (state) => state, (state) => {
      const number = h('span', { class: 'count' });
      return Object.assign(h('button', { type: 'button', class: 'chip', data: { 'filter-state': state || 'all' }, on: { click: () => this.#choose(state) } },
        state && icon(state), h('span', {}, state ? plain(state) : 'all'), number), { number });
    }, (el, state) => {
      const n = state ? counts.get(state) ?? 0 : jobs.length;
      setText(el.number, count(n) + (more ? '+' : ''));
      setData(el, 'count', n);
      setAttribute(el, 'title', more ? `${plural(n, 'job')}${scope}` : null);
      setAttribute(el, 'aria-pressed', state === this.#state ? 'true' : 'false');
    });
  }

  #show() {
    const text = this.filter.value.trim().toLowerCase();
    const shown = this.#jobs.filter((job) => job.name.toLowerCase().includes(text));
    list(this.rows, shown, (job) => job.id, create, update);
    setHidden(this.empty, shown.length > 0);
    setHidden(this.table, shown.length === 0);
    setText(this.empty, this.#jobs.length ? 'No job of this name.' : this.#state ? `No job is ${plain(this.#state)}.` : 'There are no jobs yet.');
    setText(this.total, shown.length ? `${plural(shown.length, 'job')}${this.more ? ', and older ones' : ''}` : '');
    setHidden(this.older, !this.more);
  }
}

function create(job) {
  const parts = {
    badge: badge(job.state), link: h('a', { href: `/jobs/${job.id}` }, bdi(job.name)), step: h('span', { class: 'nowrap' }),
    bar: h('span', { class: 'mini', 'aria-hidden': 'true' }, h('span', {})), created: h('time', { title: fullTime(job.created) }, time(job.created)),
    took: h('td', { role: 'cell', class: 'number took' }),
  };
  const el = h('tr', { role: 'row', data: { job: job.id } },
    h('td', { role: 'cell', class: 'state-cell' }, parts.badge),
    h('th', { scope: 'row', role: 'rowheader' }, parts.link, h('span', { class: 'job-id' }, job.id)),
    h('td', { role: 'cell', class: 'step-cell' }, parts.bar, parts.step),
    h('td', { role: 'cell', class: 'wide' }, job.scope.type ? bdi(`${job.scope.type}/${job.scope.id}`) : '—'),
    h('td', { role: 'cell', class: 'wide' }, parts.created), parts.took);
  return Object.assign(el, parts);
}

function update(el, job) {
  setData(el, 'state', job.state);
  setBadge(el.badge, job.state);
  const passed = job.state === 'succeeded' ? job.steps : job.state === 'pending' ? 0 : job.current - 0.5; // half of the step that the job is at
  setText(el.step, job.state === 'pending' || job.state === 'succeeded' ? plural(job.steps, 'step') : `${count(job.current)} of ${count(job.steps)}`);
  el.bar.firstChild.style.inlineSize = `${(100 * passed) / job.steps}%`;
  setText(el.took, spent(job.started, job.finished));
}
