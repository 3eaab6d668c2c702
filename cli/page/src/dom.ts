/** Elements in one line each, and what the rest of the page says to people who do not look at it. */

type Child = Node | string | null | undefined | false

type Props = Record<string, unknown>

/** Makes an element: `onclick` and the like are listeners, the rest are attributes. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  set(element, props)
  element.append(...children.filter(isThere))
  return element
}

/** The same for SVG. */
export function svg(tag: string, props: Props = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  set(element, props)
  element.append(...children.filter(isThere))
  return element
}

function isThere(child: Child): child is Node | string {
  return child !== null && child !== undefined && child !== false
}

function set(element: Element, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value as EventListener)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
}

/** Puts text where it changed only: a screen reader would repeat it. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Shows or hides. */
export function show(element: Element, visible: boolean): void {
  element.toggleAttribute('hidden', !visible)
}

/** One of the drawings of `index.html`. */
export function icon(name: string): SVGElement {
  return svg('svg', { class: 'icon', 'aria-hidden': 'true' }, svg('use', { href: `#i-${name}` }))
}

/** Tells people who listen. */
export function announce(text: string): void {
  const region = document.getElementById('announcer')
  if (region) region.append(h('p', {}, text.slice(0, 300)))
  while (region && region.childElementCount > 4) region.firstElementChild?.remove()
}

/** Tells people who look, for a few seconds, and people who listen. */
export function toast(text: string, kind: 'note' | 'alarm' = 'note'): void {
  const toasts = document.getElementById('toasts')
  if (!toasts) return
  const it = h('div', { class: `toast ${kind}` }, text.slice(0, 200))
  toasts.append(it)
  while (toasts.childElementCount > 4) toasts.firstElementChild?.remove()
  setTimeout(() => it.remove(), 6_000)
}
