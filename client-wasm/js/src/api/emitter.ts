/**
 * Events in the two ways that people expect: `on`, `once`, `off` with the value itself, and
 * `addEventListener` with a `CustomEvent` whose `detail` is the value.
 *
 * @packageDocumentation
 */

/** What `on` and `once` take. */
export type Listener<T> = (value: T) => void

/** A listener as `EventTarget` has it: it tells listeners of one type apart by both. */
interface Registered {
  listener: unknown
  capture: boolean
  /** Takes it off the list. */
  gone(): void
}

/** Where there is none, nothing can be listened to; the package can be imported all the same. */
const Base: typeof EventTarget = globalThis.EventTarget ?? (class {} as never)

/** An `EventTarget` that knows its events, and who listens. A listener that throws does not disturb the others. */
export class Emitter<Events extends object> extends Base {
  readonly #registered = new Map<string, Registered[]>()

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
    const known = this.#wrapping(type, listener)
    if (known) this.removeEventListener(type, known.listener as EventListener)
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
    const { capture = false, once = false, signal } = typeof options === 'object' ? options : { capture: options ?? false }
    const list = this.#of(type)
    const isNew = listener && !signal?.aborted && !list.some((it) => it.listener === listener && it.capture === capture)
    if (isNew) {
      const gone = () => {
        const at = list.indexOf(entry)
        if (at >= 0) list.splice(at, 1)
        super.removeEventListener(type, gone, { capture })
        signal?.removeEventListener('abort', gone)
      }
      const entry: Registered = { listener, capture, gone }
      list.push(entry)
      // It stands before the listener itself, and is called before it.
      if (once) super.addEventListener(type, gone, { once, capture })
      signal?.addEventListener('abort', gone)
    }
    super.addEventListener(type, listener as EventListener | null, options)
    if (isNew) this.listened(type)
  }

  /** As of `EventTarget`. */
  override removeEventListener<K extends keyof Events & string>(
    type: K,
    listener: ((event: CustomEvent<Events[K]>) => void) | EventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void
  override removeEventListener(type: string, listener: unknown, options?: boolean | EventListenerOptions): void {
    super.removeEventListener(type, listener as EventListener | null, options)
    const capture = (typeof options === 'object' ? options.capture : options) ?? false
    this.#of(type).find((it) => it.listener === listener && it.capture === capture)?.gone()
  }

  /** Called when somebody begins to listen. @internal */
  protected listened(_type: string): void {}

  /** Whether anybody listens. @internal */
  protected hasListener(type: string): boolean {
    return this.#of(type).length > 0
  }

  /** Tells everybody. @internal */
  protected emit<K extends keyof Events & string>(type: K, value: Events[K]): void {
    this.dispatchEvent(new CustomEvent(type, { detail: value }))
  }

  #add(type: string, listener: Listener<never>, once: boolean): this {
    if (this.#wrapping(type, listener)) return this
    const call: EventListener = (event) => listener((event as CustomEvent<never>).detail)
    WRAPPED.set(call, listener)
    this.addEventListener(type, call, { once })
    return this
  }

  /** What stands for a listener that `on` or `once` was given. */
  #wrapping(type: string, listener: unknown): Registered | undefined {
    return this.#of(type).find((it) => listener && WRAPPED.get(it.listener as EventListener) === listener)
  }

  #of(type: string): Registered[] {
    const list = this.#registered.get(type) ?? []
    this.#registered.set(type, list)
    return list
  }
}

/** The listeners that `on` and `once` were given, by those that the `EventTarget` has in their place. */
const WRAPPED = new WeakMap<EventListener, unknown>()
