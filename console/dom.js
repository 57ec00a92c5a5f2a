// Elements from functions, and a page that becomes what they say without losing focus, selections or what is folded out.

const HANDLERS = ['onclick', 'onsubmit', 'onchange', 'ontoggle'];

/**
 * An element. `null`, `undefined` and `false` among the properties and children are left out; properties that begin with
 * `on` are handlers, `value` is the value of a control, all others are attributes.
 */
export function h(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element[key] = value;
    else if (key === 'value' && name !== 'option') element.wanted = value;
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  if (element.wanted !== undefined) element.value = element.wanted;
  return element;
}

/** Makes an element like another of the same name. Children with a `data-key` are told apart by it. */
export function morph(from, to) {
  for (const { name } of [...from.attributes]) {
    // Whether something is folded out is for its reader to say.
    if (!to.hasAttribute(name) && name !== 'open') from.removeAttribute(name);
  }
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const handler of HANDLERS) {
    if (from[handler] !== to[handler]) from[handler] = to[handler];
  }
  morphChildren(from, to);
  if (to.wanted !== undefined && from !== document.activeElement && String(from.value) !== String(to.wanted)) {
    from.value = to.wanted;
  }
}

function morphChildren(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let place = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = wanted.dataset?.key;
    const found = key ? keyed.get(key) : place && !place.dataset?.key ? place : undefined;
    if (found?.nodeName !== wanted.nodeName) {
      from.insertBefore(wanted, place);
      continue;
    }
    if (found === place) place = place.nextSibling;
    else from.insertBefore(found, place);
    if (wanted.nodeType !== Node.TEXT_NODE) morph(found, wanted);
    else if (found.data !== wanted.data) found.data = wanted.data;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

/** Inline Markdown as the runbook has it: code, strong, emphasis. */
export function inline(text) {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*)/);
  return parts.map((part) => {
    if (part.startsWith('`')) return h('code', null, part.slice(1, -1));
    if (part.startsWith('**')) return h('strong', null, part.slice(2, -2));
    if (part.startsWith('*') && part.length > 1) return h('em', null, part.slice(1, -1));
    return part;
  });
}

/**
 * Asks a person, in a dialog. Resolves with false where they did not agree, else with true or with what they wrote.
 *
 * @param {{title: string, body: (Node|string)[], confirm: string, isGrave?: boolean, field?: {label: string, hint: string}}} question
 */
export function confirm({ title, body, confirm, isGrave = false, field = undefined }) {
  return new Promise((resolve) => {
    const input = field && h('input', { id: 'dialog-field', maxlength: '500', required: true, autocomplete: 'off' });
    const cancel = h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel');
    const submit = (event) => {
      event.preventDefault();
      answer = input ? input.value.trim() : true;
      dialog.close();
    };
    let answer = false;
    const dialog = h(
      'dialog',
      { 'aria-labelledby': 'dialog-title', class: isGrave && 'grave' },
      h(
        'form',
        { onsubmit: submit },
        h('h2', { id: 'dialog-title' }, title),
        body,
        field && h('label', { for: 'dialog-field' }, field.label, h('small', null, field.hint)),
        input,
        h('div', { class: 'buttons' }, cancel, h('button', { class: isGrave ? 'danger' : 'primary' }, confirm)),
      ),
    );
    dialog.onclose = () => {
      dialog.remove();
      resolve(answer);
    };
    document.body.append(dialog);
    dialog.showModal();
    // What cannot be taken back is not under the finger.
    (input ?? cancel).focus();
  });
}
