/** The camera as a way to type: looks for the QR code of a link to this page. Loaded when a person asks for it. */

import { h, icon, say, show } from './dom.js'
import { linkOf } from './link.js'

interface Detector {
  detect(image: HTMLVideoElement): Promise<{ rawValue: string }[]>
}

declare const BarcodeDetector: new (options: { formats: string[] }) => Detector

/** How long the camera is left alone between two looks. Milliseconds. */
const LOOK_EVERY = 150

/** Shows what the camera sees until it sees a code, which is the answer; null if a person would rather not. */
export function scan(home: string): Promise<string | null> {
  return new Promise((resolve) => new Scan(home, resolve))
}

class Scan {
  readonly #home: string
  readonly #dialog: HTMLDialogElement
  readonly #video = h('video', { class: 'camera', muted: true, playsinline: true, 'aria-label': 'What the camera sees' })
  readonly #words = h('p', { class: 'soft' }, 'Asking for the camera …')
  readonly #problem = h('p', { class: 'problem', role: 'alert' })
  #stream: MediaStream | null = null
  #code: string | null = null
  #isOver = false

  constructor(home: string, done: (code: string | null) => void) {
    this.#home = home
    this.#dialog = h(
      'dialog',
      { class: 'dialog', 'aria-labelledby': 'dialog-title' },
      h('h2', { id: 'dialog-title' }, 'Scan the other device’s QR code'),
      this.#video,
      this.#words,
      this.#problem,
      h('div', { class: 'buttons' }, h('button', { onclick: () => this.#dialog.close() }, icon('close'), 'Cancel')),
    )
    const hidden = () => document.visibilityState === 'hidden' && this.#dialog.close()
    document.addEventListener('visibilitychange', hidden)
    this.#dialog.addEventListener('close', () => {
      this.#isOver = true
      document.removeEventListener('visibilitychange', hidden)
      this.#stop()
      this.#dialog.remove()
      done(this.#code)
    })
    document.body.append(this.#dialog)
    this.#dialog.showModal()
    void this.#look()
  }

  async #look(): Promise<void> {
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } })
      // A person may have gone while the browser asked.
      if (this.#isOver) return this.#stop()
      this.#video.srcObject = this.#stream
      await this.#video.play()
      say(this.#words, 'Hold it so that the whole square is in the picture.')
      const detector = new BarcodeDetector({ formats: ['qr_code'] })
      while (!this.#isOver) {
        for (const { rawValue } of await detector.detect(this.#video)) this.#read(rawValue)
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY))
      }
    } catch (error) {
      if (this.#isOver) return
      this.#stop()
      show(this.#video, false)
      say(this.#words, '')
      say(this.#problem, whyNot(error))
    }
  }

  /** Only a link to this page is of use here: codes are known to one server. */
  #read(text: string): void {
    const at = text.indexOf('#')
    const link = at < 0 ? null : linkOf(text.slice(at))
    if (link?.kind !== 'code') return say(this.#problem, 'This QR code is not one of PeerSox: it holds no code.')
    if (text.slice(0, at).replace(/\/$/, '') !== this.#home) {
      return say(this.#problem, `This QR code is of another server, ${hostOf(text)}. Open it with the camera of your phone, or load the page from there.`)
    }
    this.#code = link.code
    this.#dialog.close()
  }

  #stop(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop()
    this.#stream = null
    this.#video.srcObject = null
  }
}

function hostOf(text: string): string {
  try {
    return new URL(text).host.slice(0, 80)
  } catch {
    return 'whose address cannot be read'
  }
}

function whyNot(error: unknown): string {
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
      return 'The browser does not let this page use the camera. Allow it in the settings for this site, or type the code.'
    case 'NotFoundError':
      return 'No camera was found. Type the code instead.'
    case 'NotReadableError':
      return 'The camera is in use by another program. Close that, or type the code.'
    default:
      return `The camera does not work: ${String(error)}. Type the code instead.`
  }
}
