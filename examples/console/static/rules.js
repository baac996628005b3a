// What the rules of the server say, as the page needs it: which operations there are for a
// type of step, and what machine the type is. Which of them are legal now is not found here.

import { codeOf, hasCall, isOfJob, jobCodeOf } from './words.js';

// codesOf returns the operations on steps of a type, by number.
export function codesOf(rules, type) {
  const names = new Set(rules.rows.filter((row) => row.on.includes(type) && !isOfJob(row.cause)).map((row) => row.cause));
  return [...names].sort((a, b) => codeOf(a).number - codeOf(b).number);
}

// jobCodesOf returns the operations on jobs that have a call: first the one that starts, then the
// one that ends.
export function jobCodesOf(rules) {
  const names = new Set(rules.rows.map((row) => row.cause).filter(hasCall));
  return [...names].sort((a, b) => jobCodeOf(b).number - jobCodeOf(a).number);
}

// runsDue reports whether an operation runs only the targets that have not succeeded.
export function runsDue(rules, code) {
  return rules.rows.some((row) => row.cause === code && row.do === 'run_due');
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
  for (const row of kind?.lifecycle ?? []) row.from.forEach((from) => add(from, row.to, 'events', row.cause));
  for (const row of rules.rows) {
    if (row.on.includes(type) && row.to) row.from.forEach((from) => add(from, row.to, isOfJob(row.cause) ? 'jobCodes' : 'codes', row.cause));
  }

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
