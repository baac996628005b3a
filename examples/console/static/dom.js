// h() builds elements, never from text with markup. Updates change only what differs: focus,
// selection and scroll position stay as they are.

const svgNamespace = 'http://www.w3.org/2000/svg';

// h returns a new element. props.on has listeners and props.data has data attributes; all other
// props are attributes, except those with the value null, undefined or false.
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

// s is h for elements of a drawing.
export function s(tag, props, ...children) {
  return fill(document.createElementNS(svgNamespace, tag), props, children);
}

function fill(el, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) el.addEventListener(event, listener);
    } else if (name === 'data') {
      for (const [key, datum] of Object.entries(value)) setData(el, key, datum);
    } else {
      setAttribute(el, name, value);
    }
  }
  el.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return el;
}

// bdi returns an element for a text by people: its direction does not affect the text around it.
export function bdi(text, props) {
  return h('bdi', props, text);
}

export function setAttribute(el, name, value) {
  if (value === null || value === undefined || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (el.getAttribute(name) !== text) el.setAttribute(name, text);
}

export function setData(el, key, value) {
  setAttribute(el, 'data-' + key, value);
}

export function setText(el, text) {
  text = String(text);
  if (el.textContent !== text) el.textContent = text;
}

export function setHidden(el, hidden) {
  if (el.hidden !== hidden) el.hidden = hidden;
}

// replace sets the children of el if they differ.
export function replace(el, ...children) {
  const all = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  if (all.length === el.childNodes.length && all.every((child, i) => child === el.childNodes[i])) return;
  el.replaceChildren(...all);
}

const rows = new WeakMap(); // parent -> its elements by key

// list gives parent one element per item, in the order of the items, after the children that parent
// had at first. It creates an element with create, updates it with update, and keeps it while there
// is an item with its key.
export function list(parent, items, keyOf, create, update) {
  const before = rows.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const key = keyOf(item);
    const el = before.get(key) ?? create(item);
    update?.(el, item);
    after.set(key, el);
  }
  for (const [key, el] of before) {
    if (!after.has(key)) el.remove();
  }
  const own = new Set(before.values());
  let next = parent.firstChild;
  while (next && !own.has(next)) next = next.nextSibling;
  for (const el of after.values()) {
    if (el === next) {
      next = next.nextSibling;
    } else if (el.parentNode === parent && parent.moveBefore) {
      parent.moveBefore(el, next); // keeps its focus
    } else {
      parent.insertBefore(el, next);
    }
  }
  rows.set(parent, after);
}

let ids = 0;

// uniqueId returns an id that no other element has.
export function uniqueId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
