// The words for states, codes, reasons and records, and a sentence for each refusal.

import { count, plural, time } from './format.js';

// codes has the operations on a step, jobCodes those on a job, by their names on the wire.
const codes = {
  retry_failed: { number: 2, title: 'Retry failed', did: 'retried the failed targets', what: 'Run the targets again that have not succeeded.' },
  ignore_error: { number: 3, title: 'Ignore error', did: 'ignored the error', what: 'Continue the job despite failed targets.' },
  confirm: { number: 6, title: 'Confirm', did: 'confirmed', what: 'The job continues.' },
  retry_all: { number: 8, title: 'Retry all', did: 'retried all targets', what: 'Run all targets again.' },
  terminate_confirmation: { number: 9, title: 'Refuse', did: 'refused', what: 'Terminate the confirmation: the job ends.' },
  restart_confirmation: { number: 10, title: 'Ask again', did: 'restarted the confirmation', what: 'Restart the confirmation: the confirmers are asked again.' },
  next_step: { number: 11, title: 'Next step', did: 'went on to the next step', what: 'Continue with the step after the stopped one.' },
  forced_skip: { number: 12, title: 'Forced skip', did: 'forced a skip', what: 'Continue with the next step without waiting for the stop or the gate.' },
  continue: { number: 13, title: 'Continue', did: 'continued', what: 'Begin what the step waits for, or the next batch.' },
  stop_before: { number: 21, title: 'Stop before', did: 'set a stop before the step', what: 'The step waits for a person before its first attempt.' },
  clear_stop: { number: 22, title: 'Clear stop', did: 'cleared the stop before the step', what: 'The step does not wait for a person.' },
};
const jobCodes = {
  terminate_job: { number: 1, title: 'Terminate job', did: 'terminated the job', what: 'Stop the current step and end the job.' },
  start_job: { number: 2, title: 'Start job', did: 'started the job', what: 'Enter the first step.' },
  hold_job: { number: 20, title: 'Hold', did: 'put the job on hold', what: 'Nothing starts until the job is resumed. What runs goes on.' },
  resume_job: { number: 21, title: 'Resume', did: 'resumed the job', what: 'End the hold: what waits for its end starts.' },
  seal_job: { number: 22, title: 'Seal', did: 'sealed the job', what: 'Close the job for good.' },
  comment_job: { number: 23, title: 'Comment', did: 'commented', what: 'Add a comment to the history.' },
};

// An unknown operation was added to the rules by the embedder: custom-32, custom-job-32.
function described(known, name) {
  return known[name] ?? { number: Number(name.replace(/^custom-(job-)?/, '')) || 0, title: plain(name), did: plain(name), what: '' };
}

// hasCall reports whether an operation on a job has a call of its own.
export const hasCall = (name) => name in jobCodes;

// isOfJob reports whether a cause is an operation on the job.
export const isOfJob = (cause) => hasCall(cause) || String(cause).startsWith('custom-job-');

// The causes without a person: those of reports, and of moments that have come.
const reports = new Set(['results', 'all_succeeded', 'some_failed', 'failures_ignored', 'failed_again', 'stopped', 'broke', 'dropped']);
const moments = {
  expired: 'ended the attempt at its deadline', expired_confirmed: 'ended the attempt at its deadline',
  job_expired: 'reached the deadline of the job', opened: 'opened the gate',
};

// The words for a request about an effect; the reason of the record begins with the effect.
const aboutEffects = { given_up: 'gave up', hurried: 'hurried' };

// isOfEffect reports whether a cause is a person's request about an effect, which changes no state.
export const isOfEffect = (cause) => Object.hasOwn(aboutEffects, cause);

export const codeOf = (name) => described(codes, name);
export const jobCodeOf = (name) => described(jobCodes, name);

// The codes that end something have buttons in a warning colour.
export const dangerous = new Set(['terminate_confirmation', 'forced_skip', 'terminate_job']);

const spelled = { non_zero_exit: 'non-zero exit' };

// plain returns a name on the wire in words.
export function plain(name) {
  return spelled[name] ?? String(name ?? '').replaceAll('_', ' ').replaceAll('-', ' ');
}

const types = { script: 'script', file_transfer: 'file transfer', confirmation: 'confirmation', sql: 'SQL' };

export const typeOf = (name) => types[name] ?? plain(name);

// The classes of states, as the engine has them.
const attemptingStates = new Set(['running', 'waiting', 'terminating']);
export const isAttempting = (state) => attemptingStates.has(state);
export const isActive = (state) => isAttempting(state) || state === 'gated';
export const isFinished = (state) => Boolean(state) && state !== 'pending' && !isActive(state);

// waitsFor returns what a step waits for at a gate.
export function waitsFor(gate) {
  switch (gate?.reason) {
    case 'person':
      return 'for a person to continue';
    case 'time':
      return `until ${time(gate.until)}`;
    case 'hold':
      return 'for the end of the hold';
    case 'window':
      return gate.until ? `for its window until ${time(gate.until)}` : 'for its window';
    case 'turn':
      return 'for its turn, which other jobs have';
  }
  return 'at a gate';
}

// isolated wraps a name by people for a sentence: direction characters in it do not affect the text
// around it. A name with an element of its own uses bdi.
export const isolated = (name) => `\u2068${String(name).replace(/[\u2066-\u2069]/g, '')}\u2069`;

// any joins names for a sentence: a, b or c.
export function any(all) {
  const names = all.map(isolated);
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

// whyNot returns the reason of a refusal in a sentence. It only words the server's answer.
export function whyNot(refusal, step) {
  const from = (refusal.legal_from ?? []).map(plain);
  switch (refusal.reason) {
    case 'denied':
      return `Denied: ${refusal.detail ?? 'you may not do this'}.`;
    case 'wrong_state': {
      const subject = isOfJob(refusal.cause) ? 'the job' : 'the step';
      const now = plain(isOfJob(refusal.cause) ? refusal.job_state : refusal.state);
      return `Wrong state: ${subject} is ${now}` + (from.length ? `; this is for ${any(from)}.` : '.');
    }
    case 'not_current':
      return `Not the current step: the job is at step ${refusal.current}.`;
    case 'not_confirmer': {
      const names = step?.confirmers ?? [];
      return `Not a confirmer: ${names.length ? `this is for ${any(names)}` : 'the list of confirmers is empty'}` + (refusal.actor ? `, and you are ${isolated(refusal.actor)}.` : '.');
    }
    case 'sealed':
      return 'Sealed: the job is closed for good.';
    case 'final':
      return 'The job has ended for good.';
    case 'on_hold':
      return isOfJob(refusal.cause) ? 'The job is on hold already.' : 'The job is on hold: resume it first.';
    case 'not_held':
      return 'The job is not on hold.';
    case 'no_turn':
      return 'Other jobs have the turns that the job waits for.';
    case 'no_batch_left':
      return 'No batch is left: every batch of the step has begun.';
    case 'stop_set':
      return 'A stop is set before the step already.';
    case 'no_stop':
      return 'No stop is set before the step.';
    case 'nothing_to_retry':
      return 'Nothing to retry: every target has succeeded.';
    case 'wrong_type':
      return `Wrong type: this is not for a ${typeOf(refusal.type ?? refusal.step_type)} step.`;
    case 'stale':
      return 'The job has moved on since you looked.';
    case 'request_reused':
      return 'Another request has used the same id.';
    case 'conflict':
      return 'Another change came first. Nothing was done.';
    case 'invalid_input':
      return `Invalid: ${refusal.field ? refusal.field + ': ' : ''}${refusal.detail ?? ''}`;
    case 'no_such_job':
      return 'There is no such job.';
    case 'no_such_step':
      return 'There is no such step.';
    case 'unauthenticated':
      return 'You are not signed in.';
  }
  return refusal.title ? `${refusal.title}.` : `Refused: ${plain(refusal.reason)}.`;
}

// didWhat returns the action of a record: an operation, a report, a deadline.
export function didWhat(record) {
  const { cause } = record;
  if (cause === 'created') return 'created the job';
  if (cause === 'results') return `reported ${plural(record.results, 'result')}`;
  if (reports.has(cause)) return `reported ${plain(cause)}`;
  if (isOfEffect(cause)) return aboutEffects[cause];
  if (Object.hasOwn(moments, cause)) return moments[cause];
  return (isOfJob(cause) ? jobCodeOf(cause) : codeOf(cause)).did;
}

// didWho returns the actor of a record.
export function didWho(record) {
  return record.actor || (Object.hasOwn(moments, record.cause) ? 'the clock' : reports.has(record.cause) ? 'an executor' : 'an unnamed person');
}

// consequences lists the changes of a record or a receipt, as short sentences.
export function consequences(change) {
  const all = [];
  if (change.from !== change.to && change.to) all.push(`step ${change.step} ${plain(change.from)} → ${plain(change.to)}`);
  if (change.effect === 'run' && !change.entered) all.push(`attempt ${change.attempt} on ${plural(change.targets, 'target')}`);
  if (change.effect === 'ask' && !change.entered) all.push(`attempt ${change.attempt} asks the confirmers`);
  if (change.gate) all.push(`step ${change.entered || change.step} waits ${waitsFor(change.gate)}`);
  else if (change.entered) all.push(`step ${change.entered} starts` + (change.targets ? ` on ${plural(change.targets, 'target')}` : ''));
  if (change.job_from !== change.job_to) all.push(change.job_from ? `job ${plain(change.job_from)} → ${plain(change.job_to)}` : `job ${plain(change.job_to)}`);
  if (!all.length && (change.cause === 'results' || reports.has(change.cause))) all.push(`step ${change.step}: ${count(change.succeeded)} succeeded, ${count(change.unfinished)} unfinished`);
  return all;
}
