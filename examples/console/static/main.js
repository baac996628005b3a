// The console: the current person, the current page, and the state of its connection.

import { Lost, getRules, getSession, setSession } from './api.js';
import { h, list, setData, setHidden, setText } from './dom.js';
import { zoneNow } from './format.js';
import { JobPage } from './job.js';
import { JobsPage } from './jobs.js';

const first = 'alice'; // the default person
const noticeTime = 8000; // milliseconds

const main = document.getElementById('main');
const person = document.getElementById('person');
const dot = document.getElementById('connection');
const notice = document.getElementById('notice');

const app = {
  rules: null,
  person: '',
  notice: say,
  // again reloads the page and shows the reason.
  again(text) {
    show(false);
    say(text);
  },
  connection(state) {
    setData(dot, 'connection', state);
    setText(dot.querySelector('.words'), connections[state]);
  },
};

// The state of the connection in words; none is for a page without one.
const connections = {
  none: '', connecting: 'connecting', connected: 'live', reconnecting: 'reconnecting',
  lost: 'connection lost', refused: 'not live: the server refuses',
};

let page = null;
let shown = ''; // the path of the current page
let silence = 0;

function say(text) {
  setText(notice, text);
  setHidden(notice.parentElement, false);
  notice.parentElement.classList.add('shown');
  clearTimeout(silence);
  silence = setTimeout(() => notice.parentElement.classList.remove('shown'), noticeTime);
}

// show shows the page of the address.
function show(moved) {
  page?.close();
  shown = location.pathname;
  const job = location.pathname.match(/^\/jobs\/(\d{1,16})$/);
  const [route, of] = job ? ['job', new JobPage(app, Number(job[1]))] : location.pathname === '/' ? ['jobs', new JobsPage(app)] : ['none', new NoPage(app)];
  page = of;
  main.replaceChildren(page.el);
  setData(document.body, 'route', route);
  if (moved) {
    scrollTo(0, 0);
    page.heading.focus({ preventScroll: true });
  }
  page.open();
}

// A NoPage is the page of an unknown address.
class NoPage {
  constructor(app) {
    this.app = app;
    this.heading = h('h1', { tabindex: '-1' }, 'There is no such page');
    this.el = h('div', { data: { page: 'none' } }, h('div', { class: 'title-row' }, this.heading),
      h('p', { class: 'muted' }, 'The console has no page at this address. ', h('a', { href: '/' }, 'All jobs')));
  }

  open() {
    document.title = 'No such page · Stepgate';
    this.app.connection('none');
  }

  close() {}
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
  app.person = name;
  person.value = name;
  setData(document.body, 'person', name);
}

// All windows of a browser have the same person, from a cookie.
const session = new BroadcastChannel('stepgate session');
session.addEventListener('message', async () => {
  offer(await getSession());
  show(false);
});

async function become(name) {
  person.disabled = true;
  try {
    offer(await setSession(name));
    session.postMessage(name);
    show(false);
    say(`You now act as ${name}.`);
  } catch (error) {
    person.value = document.body.dataset.person;
    say(`The page could not switch to ${name}: ${error.message}.`);
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
    app.connection(error instanceof Lost ? 'lost' : 'refused');
    main.replaceChildren(h('p', { class: 'muted' }, `${error instanceof Lost ? 'The server does not answer' : error.message}. Trying again…`));
    setTimeout(begin, 2000);
    return;
  }
  show(false);
}

setText(document.getElementById('zone'), `Times are in ${zoneNow()}.`);
document.addEventListener('click', go);
addEventListener('popstate', () => location.pathname !== shown && show(true)); // not for a change of the fragment
person.addEventListener('change', () => become(person.value));
begin();
