/** Keeps the screen on while files are on their way, and asks before a page is left that would lose something. */

/** Tells whether the screen is to stay on; to be called as often as that may have changed. */
export function keepAwake(wanted: boolean): void {
  if (wanted === isWanted) return
  isWanted = wanted
  void follow()
}

let isWanted = false
let lock: WakeLockSentinel | null = null

/** The browser drops the lock whenever the page is hidden. */
document.addEventListener('visibilitychange', () => void follow())

async function follow(): Promise<void> {
  if (!isWanted) {
    const held = lock
    lock = null
    return void held?.release().catch(() => {})
  }
  if (!('wakeLock' in navigator) || document.visibilityState !== 'visible' || (lock && !lock.released)) return
  try {
    const taken = await navigator.wakeLock.request('screen')
    if (isWanted) lock = taken
    else void taken.release()
  } catch {
    // A device that saves power does not give it.
  }
}

/** Asks before the page is left while `loses` says so. */
export function guardLeaving(loses: () => boolean): void {
  addEventListener('beforeunload', (event) => {
    if (loses()) event.preventDefault()
  })
}
