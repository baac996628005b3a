// The history of a job, newest first: who did what, what it changed, and why. It shows every
// record that came, so that nothing is out of a search's reach.

import { h, setData, setHidden, setText } from './dom.js';
import { fullTime, plural, time } from './format.js';
import { moves } from './model.js';
import { consequences, didWhat, didWho } from './words.js';

const longList = 200; // records from which on those out of sight are not drawn

// A History shows the records of one job.
export class History {
  constructor() {
    this.list = h('ol', { class: 'records', reversed: true, tabindex: '0', 'aria-labelledby': 'history-heading', data: { history: '', last: 0, received: 0, repeated: 0, gaps: 0 } });
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
    const rows = document.createDocumentFragment();
    for (const record of records.toReversed()) rows.append(row(record));
    this.list.prepend(rows);
    setData(this.list, 'last', stream.last);
    setData(this.list, 'received', this.list.childElementCount);
    this.count(stream);
    this.list.classList.toggle('long', this.list.childElementCount > longList);
    setText(this.total, plural(this.list.childElementCount, 'record'));
    setHidden(this.empty, true);
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
    h('p', { class: 'deed' }, h('span', { class: 'seq' }, record.seq), h('strong', {}, didWho(record)), ' ', didWhat(record),
      h('time', { datetime: new Date(record.at).toISOString(), title: fullTime(record.at) }, time(record.at))),
    h('p', { class: 'effect' }, consequences(record).join(', ')),
    record.reason && h('p', { class: 'reason' }, `“${record.reason}”`));
}
