// The console: who is at it, which page is shown, and how it is connected.

import { Lost, getRules, getSession, setSession } from './api.js';
import { h, list, setData, setHidden, setText } from './dom.js';
import { JobPage } from './job.js';
import { JobsPage } from './jobs.js';

const first = 'alice'; // whom one is without having chosen
const noticeTime = 8000; // milliseconds

const main = document.getElementById('main');
const person = document.getElementById('person');
const dot = document.getElementById('connection');
const notice = document.getElementById('notice');

const app = {
  rules: null,
  notice: say,
  connection(state) {
    setData(dot, 'connection', state);
    setText(dot.querySelector('.words'), connections[state]);
  },
};

const connections = { connecting: 'connecting', connected: 'live', reconnecting: 'reconnecting', lost: 'connection lost' };

let page = null;
let shown = ''; // the path of the page
let silence = 0;

function say(text) {
  setText(notice, text);
  setHidden(notice.parentElement, false);
  notice.parentElement.classList.add('shown');
  clearTimeout(silence);
  silence = setTimeout(() => notice.parentElement.classList.remove('shown'), noticeTime);
}

// show shows the page that the address names.
function show(moved) {
  page?.close();
  shown = location.pathname;
  const job = location.pathname.match(/^\/jobs\/(\d{1,16})$/);
  page = job ? new JobPage(app, Number(job[1])) : new JobsPage(app);
  main.replaceChildren(page.el);
  setData(document.body, 'route', job ? 'job' : 'jobs');
  if (moved) {
    scrollTo(0, 0);
    page.heading.focus({ preventScroll: true });
  }
  page.open();
}

function go(event) {
  const link = event.target.closest?.('a[href^="/"]');
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (link.pathname === location.pathname) return;
  history.pushState(null, '', link.pathname);
  show(true);
}

function offer({ person: name, persons }) {
  list(person, persons, (p) => p.name, (p) => h('option', { value: p.name }, `${p.name}, ${p.title}`));
  person.value = name;
  setData(document.body, 'person', name);
}

async function become(name) {
  person.disabled = true;
  try {
    offer(await setSession(name));
    show(false);
    say(`You are ${name} now.`);
  } catch (error) {
    person.value = document.body.dataset.person;
    say(`You could not become ${name}: ${error.message}.`);
  } finally {
    person.disabled = false;
    person.focus();
  }
}

async function begin() {
  try {
    let session = await getSession();
    if (!session.person) session = await setSession(first);
    app.rules = await getRules();
    offer(session);
  } catch (error) {
    app.connection('lost');
    main.replaceChildren(h('p', { class: 'muted' }, `${error instanceof Lost ? 'The server does not answer' : error.message}. Trying again…`));
    setTimeout(begin, 2000);
    return;
  }
  show(false);
}

document.addEventListener('click', go);
addEventListener('popstate', () => location.pathname !== shown && show(true)); // and not for a mere fragment
person.addEventListener('change', () => become(person.value));
begin();
