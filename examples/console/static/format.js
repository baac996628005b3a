// Numbers, times and durations as text for people, by the server's clock.

let skew = 0; // of the server's clock, in milliseconds

// heed reads the server's clock from the Date of an answer, which has whole seconds.
export function heed(date) {
  const at = Date.parse(date ?? '');
  if (Number.isNaN(at)) return;
  const difference = at + 500 - Date.now();
  skew = Math.abs(difference) > 2000 ? difference : 0;
}

// now returns the server's time in Unix milliseconds.
export function now() {
  return Date.now() + skew;
}

const local = (options) => new Intl.DateTimeFormat(undefined, { hourCycle: 'h23', ...options });
const hours = { hour: '2-digit', minute: '2-digit', second: '2-digit' };
const days = { year: 'numeric', month: 'short', day: 'numeric' };
const zoned = { timeZoneName: 'shortOffset' };
const clock = local(hours), clockWithOffset = local({ ...hours, ...zoned });
const day = local(days), whole = local({ ...days, ...hours, ...zoned });
const decimal = new Intl.NumberFormat('en');
const lastMoment = 8.64e15; // Unix milliseconds; the latest Date
const none = '—'; // in place of a value that cannot be shown

// isMoment reports whether at is a time that can be shown: 0 means never, and a store may have
// numbers beyond the calendar.
export const isMoment = (at) => at > 0 && at <= lastMoment;

export function count(n) {
  return decimal.format(n);
}

// plural returns a number with its noun: 1 target, 2 targets.
export function plural(n, noun) {
  return `${count(n)} ${noun}${n === 1 ? '' : 's'}`;
}

// time returns a moment as its time, with its day if that is not today, and with its offset if the
// local clock shows this time twice.
export function time(at) {
  if (!isMoment(at)) return none;
  const text = (isTwice(at) ? clockWithOffset : clock).format(at);
  return day.format(at) === day.format(now()) ? text : `${day.format(at)}, ${text}`;
}

// fullTime returns a moment with its day and the offset of its time zone.
export function fullTime(at) {
  return isMoment(at) ? whole.format(at) : 'never';
}

// isoTime returns a moment in the format of HTML's datetime, or null.
export function isoTime(at) {
  return isMoment(at) ? new Date(at).toISOString() : null;
}

const offset = (at) => -60_000 * new Date(at).getTimezoneOffset();

function isTwice(at) {
  const own = offset(at);
  const near = 3 * 3_600_000; // no clock is set back further
  return [offset(at - near), offset(at + near)].some((other) => other !== own && offset(at + own - other) === other);
}

// left returns the time until a moment.
export function left(until) {
  return isMoment(until) ? duration(until - now()) : none;
}

// zoneNow returns the time zone of all times on the page with its current offset.
export function zoneNow() {
  const parts = local(zoned).formatToParts(now());
  return `${new Intl.DateTimeFormat().resolvedOptions().timeZone} (${parts.find(({ type }) => type === 'timeZoneName').value})`;
}

// duration returns milliseconds in their two largest units.
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${two((seconds % 86400) / 3600)} h`;
}

// spent returns the time between a start and an end, or until now without an end.
export function spent(started, finished) {
  if (!isMoment(started) || (finished && !isMoment(finished))) return none;
  return duration((finished || now()) - started);
}
