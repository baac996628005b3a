// The connections that several windows of a person share. One of the windows that follow the same
// thing leads: it asks the server and tells the others. A browser opens six HTTP/1.1 connections to
// a server for all windows together: with a stream in each, the seventh window would not load.
//
// The lead is a Web Lock, which the browser passes on when the window closes, navigates or crashes.
// The leader sends its news on a BroadcastChannel. A SharedWorker could hold the streams too, but
// it does not learn that a window is gone, it keeps its old code while pages of a newer build open,
// and some browsers of phones have none. Without locks, as on a page over plain HTTP from another
// machine, each window asks for itself and holds no stream.

import { Pulse } from './pulse.js';

const { locks } = navigator;
const aliveEvery = 10_000; // milliseconds between two signs of life of a leader
const frozen = 30_000; // milliseconds of silence, at two checks in a row, after which another window takes the lead
const mostHeld = 3; // streams of all windows together; the other connections are for calls

// A Share is this window's part in a named thing. on has
//   lead(signal): this window leads until signal is aborted,
//   hear(message): a message of the leader, which may be this window,
//   welcome(): another window has joined and has no data yet; called in the leader.
export class Share {
  #name;
  #on;
  #channel = null;
  #asking = null; // the AbortController of the request for the lead
  #term = null; // the AbortController of the lead, while this window has it
  #leader = new Pulse();
  #suspected = false; // the leader was silent at the last check: after a sleep of the machine, every leader is
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

  // close gives up the lead, if this window has it, and ends all messages.
  close() {
    this.#closed.abort();
    this.#asking?.abort();
    this.#term?.abort();
    this.#term = null;
    this.#channel?.close();
    clearInterval(this.#timer);
  }

  // tell sends a message to all windows, and to this one at once. Only the leader may call it.
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

  // lead leads until the share is closed.
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

// hold calls held when this window may hold a connection, and keeps that right until signal is
// aborted.
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
