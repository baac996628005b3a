// The list of jobs, newest first. While it is visible, one of the windows with the same list asks
// the server each second. The server counts and searches: the page does not have all jobs.

import { Problem, countJobs, listJobs } from './api.js';
import { bdi, h, list, setAttribute, setData, setHidden, setText } from './dom.js';
import { count, fullTime, plural, spent, time } from './format.js';
import { badge, icon, setBadge } from './icons.js';
import { Pulse, dead } from './pulse.js';
import { Share } from './share.js';
import { plain } from './words.js';

const every = 1000; // milliseconds between two reads
const typing = 250; // milliseconds without a key before a search begins
const pageSize = 100;
const mostAtOnce = 1000; // jobs per call
const mostCounted = 1000; // maximum count of jobs per state

// The order of the filters: states that need a person, active states, final states.
const states = ['failed', 'abnormal', 'waiting', 'terminated', 'confirmation_terminated', 'abandoned', 'running', 'terminating', 'gated', 'pending', 'succeeded'];

// A JobsPage shows the list. app is {person, connection(state)}.
export class JobsPage {
  #app;
  #query = { state: '', text: '', wanted: pageSize }; // an empty state means all states; wanted is the maximum number of jobs shown
  #share = null; // with the other windows of this query
  #answer = null; // the latest answer
  #server = new Pulse();
  #search = 0; // a timer
  #ticks = 0; // a timer
  #closed = new AbortController();

  constructor(app) {
    this.#app = app;
    this.heading = h('h1', { tabindex: '-1' }, 'Jobs');
    this.chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter by state' });
    this.filter = h('input', { type: 'search', id: 'filter', placeholder: 'Search by name or id', maxlength: 256, autocomplete: 'off', 'aria-label': 'Search by name or id', on: { input: () => this.#typed() } });
    // Explicit roles: a narrow page lays the table out as cards, which removes its implicit roles.
    this.rows = h('tbody', { role: 'rowgroup' });
    this.table = h('table', { class: 'jobs', role: 'table' }, h('caption', { class: 'visually-hidden' }, 'Jobs, newest first'),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, [['State', ''], ['Name', ''], ['Step', ''], ['Scope', 'wide'], ['Created', 'wide'], ['Took', 'number']]
        .map(([name, kind]) => h('th', { scope: 'col', role: 'columnheader', class: kind }, name)))), this.rows);
    this.empty = h('p', { class: 'muted empty', role: 'status' }, 'Reading the jobs…');
    this.older = h('button', { type: 'button', class: 'quiet', hidden: true, data: { older: '' }, on: { click: () => this.#ask({ wanted: this.#query.wanted + pageSize }) } }, 'Older jobs');
    this.total = h('p', { class: 'muted small', data: { total: '' } });
    this.el = h('div', { class: 'jobs-page', data: { page: 'jobs' } },
      h('div', { class: 'title-row' }, h('div', { class: 'title' }, this.heading), this.filter),
      this.chips, h('section', { class: 'card flush', 'aria-label': 'Jobs' }, this.table, this.empty),
      h('div', { class: 'list-foot' }, this.total, this.older));
    setHidden(this.table, true);
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#leave() : this.#join()), { signal: this.#closed.signal });
  }

  open() {
    document.title = 'Jobs · Stepgate';
    this.#app.connection('connecting');
    this.#join();
    this.#ticks = setInterval(() => this.#server.silence >= dead && this.#app.connection('lost'), every);
  }

  close() {
    this.#closed.abort();
    this.#leave();
    clearTimeout(this.#search);
    clearInterval(this.#ticks);
  }

  #join() {
    if (this.#share || this.#closed.signal.aborted || document.hidden) return;
    const { state, text, wanted } = this.#query;
    const share = new Share(`${this.#app.person} jobs ${wanted} ${state} ${text}`, {
      lead: (signal) => this.#poll(share, this.#query, signal),
      hear: (told) => share === this.#share && this.#hear(told),
      welcome: () => this.#answer && share.tell({ answer: this.#answer, silence: this.#server.silence }),
    });
    this.#share = share;
    share.open();
  }

  #leave() {
    this.#share?.close();
    this.#share = null;
  }

  // ask changes the query.
  #ask(change) {
    this.#query = { ...this.#query, ...change };
    this.#answer = null;
    this.#leave();
    this.#join();
  }

  #typed() {
    clearTimeout(this.#search);
    this.#search = setTimeout(() => {
      const text = this.filter.value.trim();
      if (text !== this.#query.text) this.#ask({ text, wanted: pageSize });
    }, typing);
  }

  // poll sends the server's answers to all windows until signal is aborted.
  async #poll(share, query, signal) {
    while (!signal.aborted) {
      try {
        const [counted, found] = await Promise.all([countJobs({ most: mostCounted }, signal), read(query, signal)]);
        share.tell({ answer: { ...counted, ...found } });
      } catch (error) {
        if (!signal.aborted) share.tell({ failed: error.message, refused: error instanceof Problem });
      }
      await new Promise((resolve) => setTimeout(resolve, every));
    }
  }

  #hear({ answer, silence = 0, failed, refused }) {
    if (!answer) {
      this.#app.connection(refused ? 'refused' : 'lost');
      if (this.#answer) return;
      setText(this.empty, `The page could not read the jobs: ${failed}.`);
      setHidden(this.empty, false);
      setHidden(this.table, true);
      return;
    }
    this.#answer = answer;
    this.#server.beat(silence);
    if (silence < dead) this.#app.connection('connected');
    this.#count(answer);
    this.#show(answer);
  }

  // count shows the number of jobs in each state. A count that equals most means most or more.
  #count({ counts, most }) {
    const { state: chosen } = this.#query;
    const numbers = new Map(Object.entries(counts).filter(([, n]) => n > 0));
    const known = [...states, ...[...numbers.keys()].filter((state) => !states.includes(state))];
    const shown = ['', ...known.filter((state) => numbers.has(state) || state === chosen)];
    numbers.set('', [...numbers.values()].reduce((sum, n) => sum + n, 0));
    const open = (state) => (state ? numbers.get(state) >= most : Object.values(counts).some((n) => n >= most));
    list(this.chips, shown, (state) => state, (state) => {
      const number = h('span', { class: 'count' });
      return Object.assign(h('button', { type: 'button', class: 'chip', data: { 'filter-state': state || 'all' }, on: { click: () => this.#choose(state) } },
        state && icon(state), h('span', {}, state ? plain(state) : 'all'), number), { number });
    }, (el, state) => {
      const n = numbers.get(state) ?? 0;
      setText(el.number, count(n) + (open(state) ? '+' : ''));
      setData(el, 'count', n);
      setAttribute(el, 'title', open(state) ? `${plural(n, 'job')} or more` : null);
      setAttribute(el, 'aria-pressed', state === chosen ? 'true' : 'false');
    });
  }

  #choose(state) {
    this.#ask({ state: state === this.#query.state ? '' : state, wanted: pageSize });
  }

  #show({ jobs, more, window, beyond }) {
    const { state, text } = this.#query;
    const among = text && beyond ? ` among the newest ${count(window)}` : '';
    list(this.rows, jobs, (job) => job.id, create, update);
    setHidden(this.empty, jobs.length > 0);
    setHidden(this.table, jobs.length === 0);
    if (text) setText(this.empty, `No ${state ? `${plain(state)} job` : 'job'} has this id, or this text in its name${among}.`);
    else setText(this.empty, state ? `No job is ${plain(state)}.` : 'There are no jobs yet.');
    setText(this.total, jobs.length ? `${plural(jobs.length, 'job')}${among}${more ? ', and older ones' : ''}` : '');
    setHidden(this.older, !more);
  }
}

// read returns the wanted number of jobs of a query, whether there are more, and whether the search
// by name covered some jobs only. For a number it also returns the job with that id, as the first
// one.
async function read({ state, text, wanted }, signal) {
  const [found, named] = await Promise.all([withId(text, state, signal), withName(state, text, wanted, signal)]);
  return { ...named, jobs: [...found, ...named.jobs.filter((job) => job.id !== found[0]?.id)] };
}

async function withName(state, name, wanted, signal) {
  const jobs = [];
  let page = {};
  do {
    page = await listJobs({ newest: true, state, name, after: page.next, limit: Math.min(wanted + 1 - jobs.length, mostAtOnce) }, signal);
    jobs.push(...page.items);
  } while (page.next !== undefined && jobs.length <= wanted);
  return { jobs: jobs.slice(0, wanted), more: jobs.length > wanted, window: page.window, beyond: page.beyond };
}

async function withId(text, state, signal) {
  const id = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(id) || id < 1) return [];
  const { items } = await listJobs({ state, after: id - 1, limit: 1 }, signal); // no error if the job does not exist
  return items.filter((job) => job.id === id);
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
  const passed = job.state === 'succeeded' ? job.steps : job.state === 'pending' ? 0 : job.current - 0.5; // the current step counts half
  setText(el.step, job.state === 'pending' || job.state === 'succeeded' ? plural(job.steps, 'step') : `${count(job.current)} of ${count(job.steps)}`);
  el.bar.firstChild.style.inlineSize = `${(100 * passed) / job.steps}%`;
  setText(el.took, spent(job.started, job.finished));
}
