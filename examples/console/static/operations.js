// The buttons of operations, one for every code of the step's type. Buttons of illegal operations
// stay reachable by keyboard and show the reason. The server decides what is legal.

import { h, list, setAttribute, setData, setText, uniqueId } from './dom.js';
import { codeOf, dangerous, jobCodeOf, whyNot } from './words.js';

// An Operations is a row of buttons. kind is code or job-code; press gets the name of a legal
// operation.
export class Operations {
  constructor(kind, label, press) {
    this.kind = kind;
    this.press = press;
    this.verdicts = new Map();
    this.said = h('p', { class: 'visually-hidden', role: 'status' });
    this.el = h('div', { class: 'operations', role: 'group', 'aria-label': label, data: { operations: kind } }, this.said);
  }

  // update shows buttons for names with the server's verdicts, which may be missing.
  update(names, verdicts, step) {
    this.step = step;
    this.verdicts = new Map((verdicts ?? []).map((verdict) => [verdict.cause, verdict]));
    list(this.el, names, (name) => name, (name) => this.#create(name), (el, name) => this.#set(el, name, step));
  }

  #create(name) {
    const { number, title, what } = this.kind === 'code' ? codeOf(name) : jobCodeOf(name);
    const why = h('span', { class: 'why', id: uniqueId('why'), data: { why: name } });
    const button = h('button', {
      type: 'button', class: dangerous.has(name) ? 'danger' : '', 'aria-describedby': why.id,
      data: { [this.kind]: name }, on: { click: () => this.#click(name, button) },
    }, this.kind === 'code' && h('span', { class: 'number', 'aria-hidden': 'true' }, number), title);
    const el = h('div', { class: 'operation-button' }, button, why);
    Object.assign(el, { button, why, what });
    return el;
  }

  #set(el, name, step) {
    const verdict = this.verdicts.get(name);
    const legal = Boolean(verdict?.legal);
    setAttribute(el.button, 'aria-disabled', legal ? null : 'true');
    setData(el.button, 'legal', String(legal));
    setData(el.button, 'reason', legal || !verdict ? null : verdict.refusal.reason);
    setText(el.why, legal ? el.what : verdict ? whyNot(verdict.refusal, step) : 'Asking the server…');
  }

  // click presses a legal operation. For an illegal one, the focus shows the reason next to the
  // button, and screen readers get it again.
  #click(name, button) {
    const verdict = this.verdicts.get(name);
    if (verdict?.legal) {
      this.press(name);
    } else if (verdict) {
      button.focus(); // Safari does not focus a clicked button
      setText(this.said, '');
      setTimeout(() => setText(this.said, whyNot(verdict.refusal, this.step)));
    }
  }
}
