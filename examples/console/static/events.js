// The records of a job as they arrive: each once and in order, also if the connection breaks or the
// window that has it closes.

import { Pulse, dead } from './pulse.js';
import { Share } from './share.js';
import { Source } from './source.js';

const lostAfter = 4_000; // milliseconds without a connection
const pageSize = 1000; // records of the history per read, if events are missing
const gather = 40; // milliseconds between two deliveries; the first of a burst does not wait
const late = 2_000; // milliseconds to wait for a record that is known to exist
const closeHidden = 60_000; // milliseconds after which a hidden page gives its connection back
const look = 1_000; // milliseconds between two checks of the silence

// A Stream follows a job, together with the other windows of a person. on has
//   records(records): in order, each record once,
//   connection(state): connecting, connected, reconnecting or lost,
//   reset(): the server's history ends before the records received.
export class Stream {
  last = 0; // the sequence number of the last record delivered
  repeated = 0; // events received twice and dropped
  gaps = 0; // times that missing events were read from the history

  #job;
  #name;
  #on;
  #share = null; // while the page is visible
  #source = null; // while this window leads
  #early = new Map(); // records received before a missing one
  #batch = [];
  #delivered = 0; // time of the last delivery, by performance.now
  #delivery = 0;
  #filling = false;
  #known = 0; // a record with this number exists
  #timers = new Set();
  #connection = '';
  #server = new Pulse();
  #tried = new Pulse(); // the last attempt to connect
  #lost = 0;
  #hidden = 0;
  #closed = new AbortController();

  constructor(job, person, on) {
    this.#job = job;
    this.#name = `${person} job ${job.id}`;
    this.#on = on;
    const listen = (target, event, f) => target.addEventListener(event, f, { signal: this.#closed.signal });
    listen(window, 'online', () => this.#restart());
    listen(window, 'pagehide', () => this.#leave());
    listen(window, 'pageshow', (event) => event.persisted && this.#join());
    listen(document, 'visibilitychange', () => this.#visible());
  }

  // open starts the delivery of the records after number after.
  open(after) {
    this.last = after;
    this.#say('connecting');
    this.#join();
    const timer = setInterval(() => this.#look(), look);
    this.#closed.signal.addEventListener('abort', () => clearInterval(timer));
  }

  close() {
    this.#closed.abort();
    this.#leave();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  // expect tells that a record with this number exists: the stream fetches it if it does not arrive
  // soon.
  expect(seq) {
    if (seq <= this.#known) return;
    this.#known = seq;
    if (seq > this.last) this.#later(late, () => this.last < seq && this.#missed());
  }

  #missed() {
    this.#fill();
    this.#restart();
  }

  #join() {
    if (this.#share || this.#closed.signal.aborted) return;
    const share = new Share(this.#name, {
      lead: (signal) => { this.#source = new Source(this.#job, () => this.last, (message) => share.tell(message), signal); },
      hear: (message) => share === this.#share && this.#hear(message),
      welcome: () => share.tell({ connection: this.#connection, silence: this.#server.silence, last: this.last }),
    });
    this.#share = share;
    share.open();
  }

  #leave() {
    this.#share?.close();
    this.#share = null;
    this.#source = null;
  }

  #restart() {
    this.#tried.beat();
    if (this.#share?.leads) this.#source.restart();
  }

  #hear({ records, connection, silence = 0, last = 0, reset }) {
    if (reset) {
      this.#on.reset();
      return;
    }
    if (records || connection === 'connected') this.#server.beat(silence);
    if (connection && this.#server.silence < dead) this.#say(connection);
    for (const record of records ?? []) this.#take(record);
    if (last > this.last) {
      this.#known = Math.max(this.#known, last);
      this.#fill();
    }
  }

  // look ends a connection that was silent for too long, and connects again.
  #look() {
    if (!this.#share || this.#server.silence < dead) return;
    this.#say('lost');
    if (this.#tried.silence >= dead) this.#restart();
  }

  #take(record) {
    if (record.seq <= this.last || this.#early.has(record.seq)) {
      this.repeated += 1;
    } else if (record.seq > this.last + 1) {
      this.#early.set(record.seq, record);
      this.#fill();
    } else {
      this.#accept(record);
    }
  }

  #accept(record) {
    for (let next = record; next; next = this.#early.get(this.last + 1)) {
      this.#early.delete(next.seq);
      this.last = next.seq;
      this.#batch.push(next);
    }
    if (this.#delivery) return;
    const wait = this.#delivered + gather - performance.now();
    if (wait <= 0) this.#deliver();
    else this.#delivery = this.#later(wait, () => this.#deliver());
  }

  #deliver() {
    this.#delivery = 0;
    this.#delivered = performance.now();
    const batch = this.#batch;
    this.#batch = [];
    this.#on.records(batch);
  }

  // fill reads missing records from the history, page by page.
  async #fill() {
    if (this.#filling) return;
    this.#filling = true;
    this.gaps += 1;
    try {
      while (this.#early.size || this.last < this.#known) {
        const { items } = await this.#job.history({ after: this.last, limit: pageSize }, this.#closed.signal);
        if (!items.length) break;
        for (const record of items) {
          if (record.seq === this.last + 1) this.#accept(record);
        }
      }
    } catch {
      this.#later(1000, () => this.#fill()); // unless the page was closed, which ends the timer
    } finally {
      this.#filling = false;
    }
  }

  #visible() {
    clearTimeout(this.#hidden);
    if (document.hidden) this.#hidden = this.#later(closeHidden, () => this.#leave());
    else this.#join();
  }

  #say(connection) {
    if (connection === 'reconnecting' && (this.#connection === 'lost' || this.#connection === connection)) return;
    if (connection === this.#connection) return;
    clearTimeout(this.#lost);
    this.#connection = connection;
    this.#on.connection(connection);
    if (connection === 'reconnecting' || connection === 'connecting') {
      this.#lost = this.#later(lostAfter, () => this.#say('lost'));
    }
  }

  #later(delay, f) {
    if (this.#closed.signal.aborted) return 0;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      f();
    }, delay);
    this.#timers.add(timer);
    return timer;
  }
}
