// The history of a job, newest first: who did what, what it changed, and why. It shows every
// record that came, so that nothing is out of a search's reach.

import { bdi, h, setData, setHidden, setText } from './dom.js';
import { fullTime, isoTime, plural, time } from './format.js';
import { moves } from './model.js';
import { consequences, didWhat, didWho } from './words.js';

// Records stand in lists of a hundred, and a list that is out of sight is neither styled nor
// laid out: whatever happens on the page then costs the same for ten records and ten thousand.
const chunkSize = 100;

// A History shows the records of one job.
export class History {
  constructor() {
    this.list = h('div', { class: 'records', role: 'group', tabindex: '0', 'aria-label': 'Records, newest first', data: { history: '', last: 0, received: 0, repeated: 0, gaps: 0 } });
    this.received = 0;
    this.total = h('span', { class: 'muted small' });
    this.progress = h('input', { type: 'checkbox', id: 'history-progress', checked: true, on: { change: () => this.list.classList.toggle('moves-only', !this.progress.checked) } });
    this.empty = h('p', { class: 'muted' }, 'Nothing has come yet.');
    this.el = h('section', { class: 'card history', 'aria-labelledby': 'history-heading' },
      h('div', { class: 'card-head' }, h('h2', { id: 'history-heading' }, 'History'), this.total,
        h('label', { class: 'check' }, this.progress, 'Progress')),
      this.empty, this.list);
  }

  // add shows further records, in their order.
  add(records, stream) {
    for (const record of records) this.#chunkOf(record.seq).prepend(row(record));
    this.received += records.length;
    setData(this.list, 'last', stream.last);
    setData(this.list, 'received', this.received);
    this.count(stream);
    setText(this.total, plural(this.received, 'record'));
    setHidden(this.empty, true);
  }

  // chunkOf returns the list for the next record.
  #chunkOf(seq) {
    const number = Math.floor((seq - 1) / chunkSize);
    if (this.chunk?.number !== number) {
      this.chunk = Object.assign(h('ol', { class: 'chunk', reversed: true }), { number });
      this.list.prepend(this.chunk);
    }
    return this.chunk;
  }

  // count shows how the stream fared.
  count(stream) {
    setData(this.list, 'repeated', stream.repeated);
    setData(this.list, 'gaps', stream.gaps);
  }
}

function row(record) {
  const moved = moves(record);
  return h('li', { value: record.seq, class: moved ? 'moves' : 'progress', data: { seq: record.seq, kind: record.kind, actor: record.actor, step: record.step || null } },
    h('p', { class: 'deed' }, h('span', { class: 'seq' }, record.seq), h('strong', {}, bdi(didWho(record))), ' ', didWhat(record),
      h('time', { datetime: isoTime(record.at), title: fullTime(record.at) }, time(record.at))),
    h('p', { class: 'effect' }, consequences(record).join(', ')),
    record.reason && h('p', { class: 'reason' }, '“', bdi(record.reason), '”'));
}
