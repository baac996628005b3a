// Numbers, moments and durations as people read them, by the server's clock.

let skew = 0; // of the server's clock, in milliseconds

// heed learns the server's clock from the Date of an answer, which has whole seconds.
export function heed(date) {
  const at = Date.parse(date ?? '');
  if (Number.isNaN(at)) return;
  const difference = at + 500 - Date.now();
  skew = Math.abs(difference) > 2000 ? difference : 0;
}

// now returns the present moment of the server, in Unix milliseconds.
export function now() {
  return Date.now() + skew;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: 'numeric' });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
const decimal = new Intl.NumberFormat('en');

export function count(n) {
  return decimal.format(n);
}

// plural returns a number with its noun: 1 target, 2 targets.
export function plural(n, noun) {
  return `${count(n)} ${noun}${n === 1 ? '' : 's'}`;
}

// time returns a moment of today as its time, any other with its day; 0 is never.
export function time(at) {
  if (!at) return '—';
  return day.format(at) === day.format(now()) ? clock.format(at) : `${day.format(at)}, ${clock.format(at)}`;
}

// fullTime returns a moment with all that is known of it.
export function fullTime(at) {
  return at ? whole.format(at) : 'never';
}

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

// spent returns how long something took or has taken that began and perhaps ended.
export function spent(started, finished) {
  return started ? duration((finished || now()) - started) : '—';
}
