// The records of a job as they come: each once and in order, whatever happens to the connection.

const firstDelay = 500; // before a stream that was refused is opened again, in milliseconds; doubled each time
const longestDelay = 10_000;
const lostAfter = 4_000; // without a connection
const pageSize = 1000; // of the history, where events are missing
const gather = 40; // milliseconds between two deliveries; the first of a burst does not wait
const late = 2_000; // a record that is known to exist and does not come
const closeHidden = 60_000; // a page that nobody looks at gives its connection back

// A Stream follows a job. onRecords gets records in their order, none twice and none left out;
// onConnection gets connecting, connected, reconnecting or lost.
export class Stream {
  last = 0; // the sequence number of the last record that was handed on
  repeated = 0; // events that had come before, and were dropped
  gaps = 0; // how often events were missing, and were read from the history

  #job;
  #on;
  #source = null;
  #early = new Map(); // records that came before one that is missing
  #batch = [];
  #delivered = 0; // when the last batch was, by performance.now
  #delivery = 0;
  #filling = false;
  #refused = 0; // times in a row
  #known = 0; // a record of this number exists
  #timers = new Set();
  #connection = '';
  #lost = 0;
  #hidden = 0;
  #closed = new AbortController();

  constructor(job, on) {
    this.#job = job;
    this.#on = on;
    const listen = (target, event, f) => target.addEventListener(event, f, { signal: this.#closed.signal });
    listen(window, 'online', () => this.restart());
    listen(window, 'pageshow', (event) => event.persisted && this.restart());
    listen(document, 'visibilitychange', () => this.#visible());
  }

  // open has the records that come after number after handed on.
  open(after) {
    this.last = after;
    this.#say('connecting');
    this.#connect();
  }

  close() {
    this.#closed.abort();
    this.#source?.close();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  // restart opens the stream anew, after the last record that has come.
  restart() {
    if (this.#closed.signal.aborted) return;
    this.#refused = 0;
    this.#connect();
  }

  // expect says that there is a record of this number: if it does not come soon, it is fetched.
  expect(seq) {
    if (seq <= this.#known) return;
    this.#known = seq;
    if (seq > this.last) this.#later(late, () => this.last < seq && this.#missed());
  }

  #missed() {
    this.#fill();
    this.restart();
  }

  #connect() {
    this.#source?.close();
    const source = new EventSource(this.#job.events(this.last));
    this.#source = source;
    source.addEventListener('open', () => {
      if (source !== this.#source) return;
      this.#refused = 0;
      this.#say('connected');
    });
    source.addEventListener('record', (event) => {
      if (source === this.#source) this.#take(JSON.parse(event.data));
    });
    source.addEventListener('error', () => {
      if (source !== this.#source) return;
      this.#say('reconnecting');
      if (source.readyState !== EventSource.CLOSED) return; // it goes on by itself, after the last event
      const delay = Math.min(firstDelay * 2 ** this.#refused, longestDelay);
      this.#refused += 1;
      this.#later(delay, () => source === this.#source && this.#connect());
    });
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

  // fill reads what is missing from the history, page by page.
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
    if (document.hidden) {
      this.#hidden = this.#later(closeHidden, () => {
        this.#source?.close();
        this.#source = null;
      });
    } else if (!this.#source) {
      this.restart();
    }
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
