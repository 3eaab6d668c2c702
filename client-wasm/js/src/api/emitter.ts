/**
 * Events in the two ways that people expect: `on`, `once`, `off` with the value itself, and
 * `addEventListener` with a `CustomEvent` whose `detail` is the value.
 *
 * @packageDocumentation
 */

/** What `on` and `once` take. */
export type Listener<T> = (value: T) => void

/** An `EventTarget` that knows its events. A listener that throws does not disturb the others. */
export class Emitter<Events extends object> extends EventTarget {
  readonly #wrapped = new Map<string, Map<unknown, EventListener>>()
  readonly #counts = new Map<string, number>()

  /** Calls `listener` whenever it happens. */
  on<K extends keyof Events & string>(type: K, listener: Listener<Events[K]>): this {
    return this.#add(type, listener, false)
  }

  /** Calls `listener` the next time it happens. */
  once<K extends keyof Events & string>(type: K, listener: Listener<Events[K]>): this {
    return this.#add(type, listener, true)
  }

  /** Takes a listener away again. */
  off<K extends keyof Events & string>(type: K, listener: Listener<Events[K]>): this {
    const wrapped = this.#wrapped.get(type)
    const known = wrapped?.get(listener)
    if (known) {
      wrapped?.delete(listener)
      this.removeEventListener(type, known)
    }
    return this
  }

  /** As of `EventTarget`. */
  override addEventListener<K extends keyof Events & string>(
    type: K,
    listener: ((event: CustomEvent<Events[K]>) => void) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void
  override addEventListener(type: string, listener: unknown, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(type, listener as EventListener | null, options)
    // An upper bound: what is taken away again is not counted down, which costs nothing but a look.
    this.#counts.set(type, (this.#counts.get(type) ?? 0) + 1)
    this.listened(type)
  }

  /** Called when somebody begins to listen. @internal */
  protected listened(_type: string): void {}

  /** Whether anybody ever listened. @internal */
  protected hasListener(type: string): boolean {
    return (this.#counts.get(type) ?? 0) > 0
  }

  /** Tells everybody. @internal */
  protected emit<K extends keyof Events & string>(type: K, value: Events[K]): void {
    this.dispatchEvent(new CustomEvent(type, { detail: value }))
  }

  #add(type: string, listener: Listener<never>, once: boolean): this {
    const wrapped = this.#wrapped.get(type) ?? new Map<unknown, EventListener>()
    this.#wrapped.set(type, wrapped)
    if (wrapped.has(listener)) return this
    const call: EventListener = (event) => {
      if (once) wrapped.delete(listener)
      listener((event as CustomEvent<never>).detail)
    }
    wrapped.set(listener, call)
    this.addEventListener(type, call, { once })
    return this
  }
}
