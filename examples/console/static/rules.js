// The rules of the server in the form that the page needs: the operations and the state machine of
// each step type. The server decides which operations are legal now.

import { codeOf, hasCall, isOfJob } from './words.js';

// codesOf returns the operations on steps of a type, in the order of their numbers.
export function codesOf(rules, type) {
  const names = new Set(rules.rows.filter((row) => row.on.includes(type) && !isOfJob(row.cause)).map((row) => row.cause));
  return [...names].sort((a, b) => codeOf(a).number - codeOf(b).number);
}

// The operations on jobs that have buttons, in their order.
const jobOrder = ['start_job', 'hold_job', 'resume_job', 'terminate_job'];

// jobCodesOf returns the operations on jobs that have a call.
export function jobCodesOf(rules) {
  const names = new Set(rules.rows.map((row) => row.cause).filter(hasCall));
  return jobOrder.filter((name) => names.has(name));
}

// runsDue reports whether an operation runs only the targets that have not succeeded.
export function runsDue(rules, code) {
  return rules.rows.some((row) => row.cause === code && row.do === 'run_due');
}

// machineOf returns the states of a step type, in the order in which they are reached from pending,
// and its transitions: one per pair of states, with all events, codes and job codes that lead from
// one to the other.
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
