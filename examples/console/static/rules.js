// What the rules of the server say, as the page needs it: which operations there are for a
// type of step, and what machine the type is. Which of them are legal now is not found here.

import { codeOf, jobCodeOf } from './words.js';

// codesOf returns the operations on steps of a type, by number.
export function codesOf(rules, type) {
  const names = new Set(rules.rows.filter((row) => row.on.includes(type)).map((row) => row.code));
  return [...names].sort((a, b) => codeOf(a).number - codeOf(b).number);
}

// jobCodesOf returns the operations on jobs: first the one that starts, then the one that ends.
export function jobCodesOf(rules) {
  const names = new Set(rules.job.map((row) => row.code));
  return [...names].sort((a, b) => jobCodeOf(b).number - jobCodeOf(a).number);
}

// runsDue reports whether an operation runs only the targets that have not succeeded.
export function runsDue(rules, code) {
  return rules.rows.some((row) => row.code === code && row.guard === 'due_only');
}

// machineOf returns the states of a type of step, as they are met on the way from pending, and
// its transitions, one for each pair of states with everything that leads from the one to the
// other: events of the lifecycle, codes and job codes.
export function machineOf(rules, type) {
  const transitions = new Map();
  const add = (from, to, by, name) => {
    const key = `${from} ${to}`;
    if (!transitions.has(key)) transitions.set(key, { from, to, events: [], codes: [], jobCodes: [] });
    transitions.get(key)[by].push(name);
  };
  const kind = rules.kinds.find((k) => k.type === type);
  for (const row of kind?.lifecycle ?? []) row.from.forEach((from) => add(from, row.to, 'events', row.on));
  for (const row of rules.rows) if (row.on.includes(type)) row.from.forEach((from) => add(from, row.to, 'codes', row.code));
  for (const row of rules.job) if (row.on.includes(type)) row.from.forEach((from) => add(from, row.to, 'jobCodes', row.code));

  const all = [...transitions.values()];
  const states = [];
  const meet = (state) => {
    if (states.includes(state)) return;
    states.push(state);
    all.filter((t) => t.from === state).forEach((t) => meet(t.to));
  };
  meet('pending');
  return { type, title: kind?.title ?? type, states, transitions: all.filter((t) => states.includes(t.from)) };
}
