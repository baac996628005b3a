// The page's model of a job. A record, a receipt and an answer each have the state of something at
// a version. The model never replaces a later version by an earlier one.

import { isAttempting, isFinished, isOfEffect } from './words.js';

// moves reports whether a record changes more than results.
export function moves(record) {
  return record.cause !== 'results';
}

const reopens = (change) => change.effect === 'run' || change.effect === 'ask';

export class Model {
  job = null; // its header; null before the first answer
  steps = new Map(); // by number, in their order
  log = []; // the records since the first answer; record n is log[n-1-base]
  explanations = new Map(); // by step

  #base = 0; // the version of the first answer
  #enters; // type -> the state of a step of that type on entry
  #jobAsOf = 0; // the version of job
  #asOf = new Map(); // step -> its version
  #receipts = []; // receipts of operations whose records have not arrived

  constructor(rules) {
    this.#enters = new Map(rules.kinds.map((kind) => [kind.type, kind.lifecycle.find((row) => row.cause === 'entered')?.to]));
  }

  // version is the latest known version.
  get version() {
    return Math.max(this.#jobAsOf, this.#last);
  }

  // last is the number of the last record.
  get #last() {
    return this.#base + this.log.length;
  }

  // moved is the version of the last known change of a state or an attempt.
  get moved() {
    return this.job?.moved ?? 0;
  }

  get current() {
    return this.steps.get(this.job?.current);
  }

  explanation(step) {
    return this.explanations.get(step);
  }

  // begin takes the first answer. Records with later versions follow.
  begin(job) {
    this.#base = job.version;
    this.learnJob(job);
  }

  // learnJob takes the header from an answer.
  learnJob(job) {
    if (job.version < this.#jobAsOf) return;
    this.job = { ...job };
    this.#jobAsOf = job.version;
    this.#again(job.version);
  }

  // learnSteps takes steps read at version asOf or later.
  learnSteps(steps, asOf) {
    for (const step of steps) {
      if (asOf < (this.#asOf.get(step.id) ?? 0)) continue;
      this.steps.set(step.id, { ...step });
      this.#asOf.set(step.id, asOf);
    }
    this.#again(asOf);
  }

  // learnExplanation takes the verdicts on the operations of a step.
  learnExplanation(explanation) {
    const { job, step } = explanation;
    const known = this.explanations.get(step.id);
    if (known && known.job.version > job.version) return;
    this.explanations.set(step.id, explanation);
    this.learnSteps([step], job.version);
    this.learnJob(job);
  }

  // learnReceipt takes the answer to an operation, which mostly arrives before its record.
  learnReceipt(receipt) {
    if (receipt.seq <= this.#last) return;
    this.#receipts.push(receipt);
    this.#fold(receipt);
  }

  // learnRecords takes the next records of the history.
  learnRecords(records) {
    for (const record of records) {
      this.log.push(record);
      this.#fold(record);
    }
    this.#receipts = this.#receipts.filter((receipt) => receipt.seq > this.#last);
  }

  // again applies the known changes after version.
  #again(version) {
    for (const record of this.log.slice(Math.max(0, version - this.#base))) this.#fold(record);
    for (const receipt of this.#receipts) this.#fold(receipt);
  }

  #fold(change) {
    const step = this.#stale(change.step, change.seq);
    if (step && change.to) foldStep(step, change);
    const entered = this.#stale(change.entered, change.seq);
    if (entered) {
      const asks = this.#enters.get(entered.type) === 'waiting';
      if (change.gate) Object.assign(entered, { state: 'gated', gate: change.gate });
      else Object.assign(entered, {
        state: asks ? 'waiting' : 'running', attempt: 1, full: 1, succeeded: 0,
        unfinished: asks ? 0 : change.targets, started: change.at, finished: 0, deadline: 0,
      });
    }
    if (this.job && change.seq > this.#jobAsOf) {
      this.#jobAsOf = change.seq;
      foldJob(this.job, change);
    }
  }

  // stale returns a step if change number seq is later than its version.
  #stale(id, seq) {
    const step = id ? this.steps.get(id) : undefined;
    if (!step || seq <= this.#asOf.get(id)) return undefined;
    this.#asOf.set(id, seq);
    return step;
  }
}

function foldStep(step, change) {
  const began = reopens(change) && !change.entered;
  if (isAttempting(step.state) && !isAttempting(change.to)) {
    step.finished = change.at;
    step.deadline = 0;
  }
  step.state = change.to;
  step.gate = change.entered ? undefined : change.gate ?? (change.to === 'gated' ? step.gate : undefined);
  if (change.cause === 'stop_before' || change.cause === 'clear_stop') step.stop_before = change.cause === 'stop_before';
  step.attempt = change.attempt;
  if (began) {
    Object.assign(step, { started: change.at, finished: 0, deadline: 0 });
    if (change.run) Object.assign(step, { full: change.run.full, first: change.run.first ?? 0, end: change.run.end ?? 0 });
  }
  if (change.succeeded !== undefined) { // a receipt does not have it
    step.succeeded = change.succeeded;
    step.unfinished = change.unfinished;
    step.before = change.before ?? 0;
  } else if (began && change.effect === 'run') {
    step.unfinished = change.targets;
    step.succeeded = (step.end || step.total) - (step.first ?? 0) - change.targets;
  }
}

function foldJob(job, change) {
  job.version = change.seq;
  if (change.succeeded === undefined || (moves(change) && !isOfEffect(change.cause))) job.moved = change.seq;
  if (change.entered || change.step) job.current = change.entered || change.step;
  if (change.to !== change.from && change.to === 'skipped') job.skipped += 1;
  if (change.to !== change.from && change.to === 'error_ignored') job.ignored += 1;
  if (!job.started && (change.effect === 'run' || change.effect === 'ask')) job.started = change.at;
  if (change.cause === 'hold_job') job.held = true;
  if (change.cause === 'resume_job') job.held = false;
  if (change.cause === 'seal_job') job.sealed = true;
  if (change.job_to !== job.state) job.finished = isFinished(change.job_to) ? change.at : 0;
  job.state = change.job_to;
}
