// The history of a job, newest first: each record with its actor, changes and reason. The page
// reads the newest records and, on request, older ones. Progress records, which can be thousands,
// are elements only while a person shows them.

import { pages } from './api.js';
import { bdi, h, replace, setAttribute, setData, setHidden, setText } from './dom.js';
import { fullTime, isoTime, plural, time } from './format.js';
import { moves } from './model.js';
import { consequences, didWhat, didWho } from './words.js';

// Records are in lists of a hundred. The browser neither styles nor lays out a list outside the
// view: an update of the page costs the same for ten records and for thousands.
const chunkSize = 100;
const atOnce = 500; // records per read
const fewMoves = 10; // with fewer changes of state among the first records, the page reads further,
const farthest = 2000; // up to this number of records
const most = 2000; // records kept while more arrive

// A History shows the newest records of one job; job has the calls of that job.
export class History {
  #job;
  #records = []; // the records read, in order and without a gap
  #newest = 0; // the number of the last record
  #first = 0; // the number of the oldest record read; 0 before any
  #reading = false;
  #closed = new AbortController();

  constructor(job) {
    this.#job = job;
    this.list = h('div', { class: 'records', role: 'group', tabindex: '0', 'aria-label': 'Records, newest first', data: { history: '', last: 0, repeated: 0, gaps: 0 } });
    this.total = h('span', { class: 'muted small' });
    this.progress = h('input', { type: 'checkbox', id: 'history-progress', on: { change: () => this.#draw() } });
    this.shown = h('p', { class: 'muted', data: { shown: '' } }, 'Reading the history…');
    this.older = h('button', { type: 'button', class: 'quiet', hidden: true, data: { 'older-records': '' }, on: { click: () => this.#read() } }, 'Older records');
    this.el = h('section', { class: 'card history', 'aria-labelledby': 'history-heading' },
      h('div', { class: 'card-head' }, h('h2', { id: 'history-heading' }, 'History'), this.total,
        h('label', { class: 'check' }, this.progress, 'Progress')),
      this.list, h('div', { class: 'records-foot' }, this.shown, this.older));
  }

  // open reads the newest records up to number version. Later ones follow with add.
  async open(version) {
    this.#newest = version;
    do {
      if (!await this.#read()) return;
    } while (this.#first > 1 && this.#records.length < farthest && this.#records.filter(moves).length < fewMoves);
  }

  close() {
    this.#closed.abort();
  }

  // add shows the next records.
  add(records, stream) {
    if (!this.#records.length) this.#first = records[0].seq;
    this.#records.push(...records);
    this.#newest = records.at(-1).seq;
    for (const record of records) if (this.#wanted(record)) this.#chunkOf(record.seq).prepend(row(record));
    if (this.#records.length > most + atOnce && this.list.scrollTop === 0) this.#forget();
    this.count(stream);
    this.#say();
  }

  // count shows the counters of the stream.
  count(stream) {
    setData(this.list, 'last', stream.last);
    setData(this.list, 'repeated', stream.repeated);
    setData(this.list, 'gaps', stream.gaps);
  }

  // read reads the records before the first one, and returns false on an error.
  async #read() {
    if (this.#reading) return false;
    this.#reading = true;
    setAttribute(this.older, 'aria-disabled', 'true');
    try {
      const end = this.#first ? this.#first - 1 : this.#newest;
      const after = Math.max(0, Math.floor((end - 1) / chunkSize) * chunkSize + chunkSize - atOnce);
      const older = [];
      for await (const items of pages((params) => this.#job.history(params, this.#closed.signal), { after, limit: end - after })) {
        older.push(...items.filter((record) => record.seq <= end));
        if (older.at(-1)?.seq === end) break;
      }
      this.#records.unshift(...older);
      this.#first = after + 1;
      for (const record of older.toReversed()) if (this.#wanted(record)) this.#chunkOf(record.seq).append(row(record));
      this.#say();
      return true;
    } catch (error) {
      if (!this.#closed.signal.aborted) setText(this.shown, `The page could not read the history: ${error.message}.`);
      setHidden(this.older, false);
      return false;
    } finally {
      this.#reading = false;
      setAttribute(this.older, 'aria-disabled', null);
    }
  }

  // forget drops the oldest records; they can be read again.
  #forget() {
    const from = Math.floor((this.#newest - most) / chunkSize) * chunkSize + 1;
    this.#records.splice(0, from - this.#first);
    this.#first = from;
    for (const chunk of [...this.list.children]) if (chunk.number * chunkSize + 1 < from) chunk.remove();
  }

  #wanted(record) {
    return this.progress.checked || moves(record);
  }

  // draw rebuilds the elements.
  #draw() {
    replace(this.list);
    for (const record of this.#records) if (this.#wanted(record)) this.#chunkOf(record.seq).prepend(row(record));
    this.#say();
  }

  // chunkOf returns the list for a record.
  #chunkOf(seq) {
    const number = Math.floor((seq - 1) / chunkSize);
    const all = [...this.list.children];
    const at = all.findIndex((chunk) => chunk.number <= number);
    if (all[at]?.number === number) return all[at];
    const chunk = Object.assign(h('ol', { class: 'chunk', reversed: true }), { number });
    this.list.insertBefore(chunk, all[at] ?? null);
    return chunk;
  }

  // say shows the number of hidden and of older records.
  #say() {
    const hidden = this.progress.checked ? 0 : this.#records.filter((record) => !moves(record)).length;
    const older = this.#first - 1;
    setText(this.total, plural(this.#newest, 'record'));
    setText(this.shown, [older > 0 && plural(older, 'older record'), hidden && `${plural(hidden, 'progress record')} hidden`].filter(Boolean).join(', '));
    setHidden(this.older, older <= 0);
  }
}

function row(record) {
  const moved = moves(record);
  return h('li', { value: record.seq, class: moved ? 'moves' : 'progress', data: { seq: record.seq, cause: record.cause, actor: record.actor, step: record.step || null } },
    h('p', { class: 'deed' }, h('span', { class: 'seq' }, record.seq), h('strong', {}, bdi(didWho(record))), ' ', didWhat(record),
      h('time', { datetime: isoTime(record.at), title: fullTime(record.at) }, time(record.at))),
    h('p', { class: 'effect' }, consequences(record).join(', ')),
    record.reason && h('p', { class: 'reason' }, '“', bdi(record.reason), '”'));
}
