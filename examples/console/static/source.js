// The news of a job, in the window that leads: from a stream of events or, while other windows hold
// all streams that the browser allows, by a request each second.

import { pages } from './api.js';
import { hold } from './share.js';

const firstDelay = 500; // milliseconds before a refused stream is opened again; doubled each time
const longestDelay = 10_000;
const pollEvery = 1000; // milliseconds
const pageSize = 1000; // records

// A Source sends the news of a job as messages until signal is aborted:
//   {records}: records after number last(),
//   {connection}: connected, with each sign of life, or reconnecting,
//   {reset: true}: the server's history ends before number last().
export class Source {
  #job;
  #last;
  #tell;
  #signal;
  #held = false;
  #events = null;
  #timer = 0; // of the next try
  #refused = 0; // refusals in a row

  constructor(job, last, tell, signal) {
    this.#job = job;
    this.#last = last;
    this.#tell = tell;
    this.#signal = signal;
    signal.addEventListener('abort', () => {
      this.#events?.close();
      clearTimeout(this.#timer);
    });
    hold(signal, () => this.#stream());
    this.#later(pollEvery, () => this.#poll());
  }

  // restart connects again, after the last record received.
  restart() {
    this.#refused = 0;
    if (this.#held) this.#connect();
  }

  #stream() {
    this.#held = true;
    this.#connect();
  }

  #connect() {
    this.#events?.close();
    const events = new EventSource(this.#job.events(this.#last()));
    this.#events = events;
    const on = (name, f) => events.addEventListener(name, (event) => events === this.#events && f(event));
    on('open', () => {
      this.#refused = 0;
      this.#tell({ connection: 'connected' });
    });
    on('record', (event) => this.#tell({ records: [JSON.parse(event.data)] }));
    on('beat', () => this.#tell({ connection: 'connected' }));
    on('reset', () => {
      events.close();
      this.#tell({ reset: true });
    });
    on('error', () => {
      this.#tell({ connection: 'reconnecting' });
      if (events.readyState !== EventSource.CLOSED) return; // EventSource reconnects by itself, after the last event
      const delay = Math.min(firstDelay * 2 ** this.#refused, longestDelay);
      this.#refused += 1;
      this.#later(delay, () => events === this.#events && this.#connect());
    });
  }

  async #poll() {
    if (this.#held) return;
    try {
      const last = this.#last();
      const { version } = await this.#job.get(this.#signal);
      if (version < last) this.#tell({ reset: true });
      if (version > last) await this.#read(last);
      if (!this.#held) this.#tell({ connection: 'connected' });
    } catch {
      if (!this.#held && !this.#signal.aborted) this.#tell({ connection: 'reconnecting' });
    }
    if (!this.#held) this.#later(pollEvery, () => this.#poll());
  }

  async #read(last) {
    for await (const records of pages((params) => this.#job.history(params, this.#signal), { after: last, limit: pageSize })) {
      this.#tell({ records });
    }
  }

  #later(delay, f) {
    clearTimeout(this.#timer);
    if (!this.#signal.aborted) this.#timer = setTimeout(f, delay);
  }
}
