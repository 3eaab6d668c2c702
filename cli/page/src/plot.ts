/** Drawings that move: the way that messages take, and how fast. */

import { rate } from './format.js'
import { say, svg } from './dom.js'
import type { Sample } from './meter.js'

const WIDTH = 300
const HEIGHT = 72
const POINTS = 60

/** Below this the two sides only tell each other that they are there. Bytes per second. */
const IDLE = 1_000

/** A rate as people care for it. */
export function busy(perSecond: number): number {
  return perSecond < IDLE ? 0 : perSecond
}

/** Bytes per second in both directions over the last minute. */
export class Plot {
  readonly element: SVGElement
  readonly #lines: Record<'up' | 'down', { line: SVGElement; area: SVGElement }>

  constructor() {
    const shape = (name: string) => ({
      line: svg('polyline', { class: `line ${name}`, 'vector-effect': 'non-scaling-stroke' }),
      area: svg('polygon', { class: `area ${name}` }),
    })
    this.#lines = { up: shape('up'), down: shape('down') }
    const grid = [0.25, 0.5, 0.75, 1].map((part) =>
      svg('line', { x1: 0, x2: WIDTH, y1: HEIGHT * part - 0.5, y2: HEIGHT * part - 0.5, class: 'grid' }),
    )
    const { up, down } = this.#lines
    this.element = svg(
      'svg',
      { class: 'plot', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': 'Throughput' },
      ...grid,
      down.area,
      up.area,
      down.line,
      up.line,
    )
  }

  /** Draws; also in words for those who do not see it. */
  draw(samples: readonly Sample[], label: HTMLElement): void {
    const seen = samples.map(({ up, down }) => ({ up: busy(up), down: busy(down) }))
    const peak = Math.max(10_000, ...seen.flatMap((it) => [it.up, it.down]))
    for (const name of ['up', 'down'] as const) {
      const points = seen.map((it, at) => {
        const x = WIDTH - (samples.length - 1 - at) * (WIDTH / (POINTS - 1))
        const y = HEIGHT - 1 - (it[name] / peak) * (HEIGHT - 6)
        return `${x.toFixed(1)},${y.toFixed(1)}`
      })
      const { line, area } = this.#lines[name]
      line.setAttribute('points', points.join(' '))
      const first = points[0]?.split(',')[0] ?? WIDTH
      area.setAttribute('points', points.length ? `${first},${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}` : '')
    }
    const last = seen.at(-1)
    this.element.setAttribute(
      'aria-label',
      `Throughput of the last minute: now ${rate(last?.down ?? 0)} down and ${rate(last?.up ?? 0)} up, at most ${rate(peak)}`,
    )
    say(label, `${rate(peak)}`)
  }
}

/** This device, the other one, and what is between them. */
export function pathDrawing(): { element: SVGElement; draw(path: 'relay' | 'webrtc' | null): void } {
  const device = (x: number, name: string) =>
    svg(
      'g',
      { class: `device ${name}` },
      svg('rect', { x: x - 15, y: 27, width: 30, height: 22, rx: 4 }),
      svg('path', { d: `M${x - 6} 54h12` }),
    )
  const element = svg(
    'svg',
    { class: 'path', viewBox: '0 0 300 72', 'aria-hidden': 'true' },
    svg('path', { class: 'way relay', d: 'M42 34 C 80 8, 110 8, 134 12 M166 12 C 190 8, 220 8, 258 34' }),
    svg('path', { class: 'way direct', d: 'M44 42 H256' }),
    svg('g', { class: 'server' }, svg('rect', { x: 134, y: 3, width: 32, height: 18, rx: 4 }), svg('path', { d: 'M141 12h2M148 12h11' })),
    device(25, 'mine'),
    device(275, 'theirs'),
  )
  return {
    element,
    draw: (path) => element.setAttribute('data-path', path ?? 'none'),
  }
}
