// The calls of the server. Each returns the answer, or throws a Problem for a refusal of the
// server, or Lost if no answer came and the outcome is unknown.

import { heed } from './format.js';

// A Problem is an error answer of the server (RFC 9457).
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `status ${status}`);
    Object.assign(this, body);
    this.status = status;
    this.reason = body.reason ?? 'internal';
  }

  // unknown reports whether the request may have been carried out.
  get unknown() {
    return this.reason === 'unknown_outcome' || (this.status >= 500 && this.status !== 503);
  }
}

// Lost is the error of a call that got no answer.
export class Lost extends Error {}

const patience = 15_000; // maximum milliseconds for an answer

async function call(method, path, { body, ifMatch, signal } = {}) {
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (ifMatch) headers['If-Match'] = `"${ifMatch}"`;
  const limits = [AbortSignal.timeout(patience)];
  if (signal) limits.push(signal);
  let response, text;
  try {
    response = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any(limits), cache: 'no-store', credentials: 'same-origin', redirect: 'error',
    });
    text = await response.text();
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Lost('no answer came', { cause });
  }
  heed(response.headers.get('Date'));
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (!response.ok) throw new Problem(response.status, value ?? { title: text.trim().slice(0, 200) });
  if (value === null) throw new Lost('the answer was no JSON');
  return value;
}

function query(params) {
  const given = Object.entries(params ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return given.length ? '?' + new URLSearchParams(given) : '';
}

export const getSession = () => call('GET', '/session');
export const setSession = (person) => call('POST', '/session', { body: { person } });

export const getRules = () => call('GET', '/v1/rules');
export const countJobs = (params, signal) => call('GET', '/v1/jobs/counts' + query(params), { signal });
export const listJobs = (params, signal) => call('GET', '/v1/jobs' + query(params), { signal });

// jobCalls returns the calls for one job.
export function jobCalls(id) {
  const at = `/v1/jobs/${id}`;
  const step = (n) => `${at}/steps/${n}`;
  return {
    id,
    events: (after) => `${at}/events` + query({ after }),
    get: (signal) => call('GET', at, { signal }),
    steps: (params, signal) => call('GET', `${at}/steps` + query(params), { signal }),
    step: (n, signal) => call('GET', step(n), { signal }),
    explain: (n, signal) => call('GET', `${step(n)}/explain`, { signal }),
    targets: (n, params, signal) => call('GET', `${step(n)}/targets` + query(params), { signal }),
    history: (params, signal) => call('GET', `${at}/history` + query(params), { signal }),
    operate: (n, body, ifMatch) => call('POST', `${step(n)}/operate`, { body, ifMatch }),
    operateJob: (code, body, ifMatch) => call('POST', `${at}/${code.replace(/_job$/, '')}`, { body, ifMatch }),
    output: (params, signal) => output({ job: id, ...params }, signal),
  };
}

// output returns the output of a target, or null if no script has run there.
async function output(params, signal) {
  let response;
  try {
    response = await fetch('/output' + query(params), { signal, cache: 'no-store', credentials: 'same-origin' });
    if (response.status === 404) return null;
    const text = await response.text();
    if (!response.ok) throw new Problem(response.status, { title: text.trim() });
    return text;
  } catch (cause) {
    if (cause instanceof Problem || signal?.aborted) throw cause;
    throw new Lost('no answer came', { cause });
  }
}

// pages yields the items of all pages. It calls get for each page, with the next of the page before
// as the parameter name.
export async function* pages(get, params, name = 'after') {
  for (let next; ;) {
    const page = await get({ ...params, ...(next === undefined ? {} : { [name]: next }) });
    yield page.items;
    if (page.next === undefined || page.next === null) return;
    next = page.next;
  }
}
