// The output of scripts, read on request.

import { h, replace, setData, setText } from './dom.js';
import { isolated } from './words.js';

const growing = 1500; // milliseconds between two reads while the script runs

// An Output is the output of one target, in a row of its own.
export class Output {
  #job;
  #step;
  #target;
  #attempt = 0;
  #closed = new AbortController();

  constructor(job, step, target) {
    this.#job = job;
    this.#step = step;
    this.#target = target;
    this.place = h('div', { class: 'output', data: { 'output-of': target.index } }, h('p', { class: 'muted' }, 'Reading…'));
    this.el = h('tr', { class: 'output-row', role: 'row' }, h('td', { role: 'cell', colspan: 7 }, this.place));
  }

  close() {
    this.#closed.abort();
    clearTimeout(this.timer);
    this.el.remove();
  }

  // update sets the attempt of the target, and whether it still runs: while it does, the output is
  // read at an interval, and once more afterwards.
  update(attempt, grows) {
    const again = this.#attempt !== attempt || this.grows !== grows;
    this.grows = grows;
    this.#attempt = attempt;
    if (again) this.#read();
  }

  async #read() {
    clearTimeout(this.timer);
    const of = { step: this.#step, attempt: this.#attempt, target: this.#target.index };
    try {
      const [stdout, stderr] = await Promise.all(['stdout', 'stderr'].map((stream) => this.#job.output({ ...of, stream }, this.#closed.signal)));
      this.#show(stdout, stderr);
    } catch {
      if (!this.#closed.signal.aborted) replace(this.place, h('p', { class: 'muted' }, 'The output could not be read.'));
    }
    if (this.grows && !this.#closed.signal.aborted) this.timer = setTimeout(() => this.#read(), growing);
  }

  #show(stdout, stderr) {
    if (stdout === null && stderr === null) {
      replace(this.place, h('p', { class: 'muted' }, 'No script has run here.'));
      return;
    }
    if (!stdout && !stderr) {
      replace(this.place, h('p', { class: 'muted' }, 'No output: the script has printed nothing, or its output was deleted.'));
      return;
    }
    this.texts ??= ['stdout', 'stderr'].map((stream) => {
      const text = h('pre', { tabindex: '0', role: 'region', 'aria-label': `${stream} of ${isolated(this.#target.name)}`, data: { stream } });
      return { text, el: h('div', { class: 'stream' }, h('h4', {}, stream), text) };
    });
    [stdout, stderr].forEach((printed, i) => setText(this.texts[i].text, printed ?? ''));
    replace(this.place, this.texts.filter((_, i) => [stdout, stderr][i]).map(({ el }) => el));
    setData(this.place, 'attempt', this.#attempt);
  }
}
