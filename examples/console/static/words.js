// What states, codes, reasons and records are called, and what a refusal means in a sentence.

import { count, plural } from './format.js';

// codes are the operations on a step, jobCodes those on a job, by their names on the wire.
const codes = {
  retry_failed: { number: 2, title: 'Retry failed', did: 'retried what failed', what: 'Run again what has not succeeded.' },
  ignore_error: { number: 3, title: 'Ignore error', did: 'ignored the error', what: 'Go on although targets failed.' },
  confirm: { number: 6, title: 'Confirm', did: 'confirmed', what: 'Let the job go on.' },
  retry_all: { number: 8, title: 'Retry all', did: 'retried all', what: 'Run again on every target.' },
  terminate_confirmation: { number: 9, title: 'Refuse', did: 'refused', what: 'Terminate the confirmation: the job ends.' },
  restart_confirmation: { number: 10, title: 'Ask again', did: 'had the confirmers asked again', what: 'Restart the confirmation: the confirmers are asked again.' },
  next_step: { number: 11, title: 'Next step', did: 'went on to the next step', what: 'Go on from a step that was stopped.' },
  forced_skip: { number: 12, title: 'Forced skip', did: 'forced a skip', what: 'Go on without waiting for the stop.' },
};
const jobCodes = {
  terminate_job: { number: 1, title: 'Terminate job', did: 'terminated the job', what: 'Stop what runs; the job ends.' },
  start_job: { number: 2, title: 'Start job', did: 'started the job', what: 'Enter the first step.' },
};

// An unknown operation is one that the embedder has added to the rules: custom-32, custom-job-32.
function described(known, name) {
  return known[name] ?? { number: Number(name.replace(/^custom-(job-)?/, '')) || 0, title: plain(name), did: plain(name), what: '' };
}

// hasCall reports whether an operation on a job has a call of its own.
export const hasCall = (name) => name in jobCodes;

// isOfJob reports whether a cause is an operation on the job.
export const isOfJob = (cause) => hasCall(cause) || String(cause).startsWith('custom-job-');

// The causes without a person: what a report says, and what a deadline does.
const reports = new Set(['results', 'all_succeeded', 'some_failed', 'failures_ignored', 'stopped', 'broke', 'dropped']);
const deadlines = new Set(['expired', 'expired_confirmed']);

// What a person did to an effect; the reason begins with it.
const aboutEffects = { given_up: 'gave up', hurried: 'hurried' };

// isOfEffect reports whether a cause is a person's request about an effect, which moves nothing.
export const isOfEffect = (cause) => Object.hasOwn(aboutEffects, cause);

export const codeOf = (name) => described(codes, name);
export const jobCodeOf = (name) => described(jobCodes, name);

// The codes that end something look as if they did.
export const dangerous = new Set(['terminate_confirmation', 'forced_skip', 'terminate_job']);

const spelled = { non_zero_exit: 'non-zero exit' };

// plain returns a name of the wire in words.
export function plain(name) {
  return spelled[name] ?? String(name ?? '').replaceAll('_', ' ').replaceAll('-', ' ');
}

const types = { script: 'script', file_transfer: 'file transfer', confirmation: 'confirmation', sql: 'SQL' };

export const typeOf = (name) => types[name] ?? plain(name);

// The classes of states, as the engine has them.
const activeStates = new Set(['running', 'waiting', 'terminating']);
export const isActive = (state) => activeStates.has(state);
export const isFinished = (state) => Boolean(state) && state !== 'pending' && !isActive(state);

// isolated wraps a name that people gave for a sentence: a direction character in it turns nothing
// around it. Where the name has an element of its own, that is a bdi.
export const isolated = (name) => `\u2068${String(name).replace(/[\u2066-\u2069]/g, '')}\u2069`;

// any joins names for a sentence: a, b or c.
export function any(all) {
  const names = all.map(isolated);
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

// whyNot says in a sentence why an operation is refused. It words what the server said and
// finds out nothing by itself.
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
      return `Not a confirmer: this is for ${names.length ? any(names) : 'none: the list of confirmers is empty'}` + (refusal.actor ? `, and you are ${isolated(refusal.actor)}.` : '.');
    }
    case 'sealed':
      return 'Sealed: the job is final.';
    case 'nothing_to_retry':
      return 'Nothing to retry: every target has succeeded.';
    case 'wrong_type':
      return `Wrong type: this is not for a ${typeOf(refusal.type ?? refusal.step_type)} step.`;
    case 'stale':
      return 'The job has moved on since you looked.';
    case 'request_reused':
      return 'Another request had the same id already.';
    case 'conflict':
      return 'Another change came first. Nothing was done.';
    case 'invalid_input':
      return `Not acceptable: ${refusal.field ? refusal.field + ': ' : ''}${refusal.detail ?? ''}`;
    case 'no_such_job':
      return 'There is no such job.';
    case 'no_such_step':
      return 'There is no such step.';
    case 'unauthenticated':
      return 'You are not signed in.';
  }
  return refusal.title ? `${refusal.title}.` : `Refused: ${plain(refusal.reason)}.`;
}

// didWhat says what a record is about: an operation, a report, a deadline.
export function didWhat(record) {
  const { cause } = record;
  if (cause === 'created') return 'created the job';
  if (cause === 'results') return `reported ${plural(record.results, 'result')}`;
  if (reports.has(cause)) return `reported ${plain(cause)}`;
  if (isOfEffect(cause)) return aboutEffects[cause];
  if (deadlines.has(cause)) return 'ended the attempt at its deadline';
  return (isOfJob(cause) ? jobCodeOf(cause) : codeOf(cause)).did;
}

// didWho says whose doing a record is.
export function didWho(record) {
  return record.actor || (deadlines.has(record.cause) ? 'the clock' : reports.has(record.cause) ? 'an executor' : 'an unnamed person');
}

// consequences lists what a record or a receipt brought about, as short sentences.
export function consequences(change) {
  const all = [];
  if (change.from !== change.to && change.to) all.push(`step ${change.step} ${plain(change.from)} → ${plain(change.to)}`);
  if (change.effect === 'run' && !change.entered) all.push(`attempt ${change.attempt} on ${plural(change.targets, 'target')}`);
  if (change.effect === 'ask' && !change.entered) all.push(`attempt ${change.attempt} asks the confirmers`);
  if (change.entered) all.push(`step ${change.entered} starts` + (change.targets ? ` on ${plural(change.targets, 'target')}` : ''));
  if (change.job_from !== change.job_to) all.push(change.job_from ? `job ${plain(change.job_from)} → ${plain(change.job_to)}` : `job ${plain(change.job_to)}`);
  if (!all.length && change.kind === 'reported') all.push(`step ${change.step}: ${count(change.succeeded)} succeeded, ${count(change.unfinished)} unfinished`);
  return all;
}
