// What several windows of a person share. Of the windows that follow the same thing, one leads:
// it asks the server and tells the others. A browser keeps six HTTP/1.1 connections to a server,
// for all its windows together, so with a stream in each the seventh would not load.
//
// The lead is a Web Lock, which the browser hands on when its window closes, leaves or crashes;
// what the leader hears goes out on a BroadcastChannel. A SharedWorker could hold the streams
// too, but is not told that a window is gone, stays as it is while pages of a newer build open,
// and some browsers of phones have none. Without locks, as on a page that came over plain HTTP
// from another machine, each window asks for itself, and holds no stream.

import { Pulse } from './pulse.js';

const { locks } = navigator;
const aliveEvery = 10_000; // milliseconds between two signs of life of a leader
const frozen = 30_000; // without one, at two looks in a row, and another window takes the lead
const mostHeld = 3; // connections, of all windows together; the others are for calls

// A Share is this window's part in something that has a name. on is
//   lead(signal): this window leads, until signal is aborted,
//   hear(message): the leader, which may be this window, has told a message,
//   welcome(): another window has come, and knows nothing yet; called in the leader.
export class Share {
  #name;
  #on;
  #channel = null;
  #asking = null; // an AbortController of the request for the lead
  #term = null; // an AbortController while this window leads
  #leader = new Pulse();
  #suspected = false; // the leader was silent at the last look: after a sleep of the machine, all are
  #timer = 0;
  #closed = new AbortController();

  constructor(name, on) {
    this.#name = `stepgate ${name}`;
    this.#on = on;
  }

  get leads() {
    return this.#term !== null;
  }

  open() {
    if (!locks) {
      this.#lead();
      return;
    }
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.addEventListener('message', (event) => this.#take(event.data));
    this.#channel.postMessage({ hello: true });
    this.#timer = setInterval(() => this.#look(), aliveEvery);
    this.#ask(false);
  }

  // close ends the lead, if this window has it, and hears nothing more.
  close() {
    this.#closed.abort();
    this.#asking?.abort();
    this.#term?.abort();
    this.#term = null;
    this.#channel?.close();
    clearInterval(this.#timer);
  }

  // tell has all windows hear a message, this one at once. It is for the leader.
  tell(message) {
    if (this.#closed.signal.aborted) return;
    this.#channel?.postMessage({ message });
    this.#on.hear(message);
  }

  #take({ hello, message }) {
    if (hello) {
      if (this.leads) this.#on.welcome();
      return;
    }
    this.#leader.beat();
    if (message !== undefined && !this.leads) this.#on.hear(message);
  }

  #ask(steal) {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    locks.request(this.#name, steal ? { steal } : { signal: asking.signal }, () => this.#lead()).catch(() => {
      if (asking !== this.#asking || this.#closed.signal.aborted) return;
      this.#term?.abort(); // another window has taken the lead
      this.#term = null;
      this.#leader.beat();
      this.#ask(false);
    });
  }

  // lead leads until it is closed.
  #lead() {
    if (this.#closed.signal.aborted) return undefined;
    this.#term = new AbortController();
    this.#on.lead(this.#term.signal);
    return new Promise((resolve) => this.#closed.signal.addEventListener('abort', resolve));
  }

  #look() {
    const suspected = !this.leads && this.#leader.silence >= frozen;
    if (this.leads) this.#channel.postMessage({});
    else if (suspected && this.#suspected) this.#ask(true);
    this.#suspected = suspected;
  }
}

// hold calls held once this window may hold a connection, which it does until signal is aborted.
export function hold(signal, held) {
  if (!locks) return;
  const enough = new AbortController();
  for (let i = 0; i < mostHeld; i += 1) {
    locks.request(`stepgate connection ${i}`, { signal: AbortSignal.any([signal, enough.signal]) }, () => {
      if (signal.aborted || enough.signal.aborted) return undefined;
      enough.abort();
      held();
      return new Promise((resolve) => signal.addEventListener('abort', resolve));
    }).catch(() => {}); // it was aborted
  }
}
