// Plots what /metrics tells, for an operator who has nothing else at hand.

const PAUSE = 2000
const KEPT = 1800

// Each plot: a title, a unit, and lines: a metric, and the label that makes a line of each of its values. What a
// counter grows by in a second is plotted with `rate`.
const PLOTS = [
  { title: "Sessions", lines: { metric: "peersox_sessions", by: "state" } },
  { title: "Legs by transport", lines: { metric: "peersox_legs_attached", by: "transport" } },
  { title: "Bytes a second", unit: "B", lines: { metric: "peersox_bytes_total", by: "lane", rate: true } },
  { title: "Frames a second", lines: { metric: "peersox_frames_total", by: "lane", rate: true } },
  { title: "Memory of waiting frames", unit: "B", lines: { metric: "peersox_relay_memory_bytes" } },
  { title: "Legs refused a second", lines: { metric: "peersox_legs_refused_total", by: "reason", rate: true } },
  { title: "Calls a second", lines: { metric: "peersox_rpc_duration_seconds_count", by: "method", rate: true } },
  { title: "Joins a second", lines: { metric: "peersox_rpc_duration_seconds_count", by: "code", only: ["method", "JoinPairing"], rate: true } },
  { title: "Budgets spent a second", lines: { metric: "peersox_budget_refusals_total", by: "budget", rate: true } },
  { title: "Relays", lines: { metric: "peersox_relays" } },
  { title: "Streams to control", lines: { metric: "peersox_bridge_streams" } },
  { title: "Processors in use", lines: { metric: "process_cpu_seconds_total", rate: true } },
  { title: "Memory of the process", unit: "B", lines: { metric: "process_resident_memory_bytes" } },
]

/** The samples of a text: name, labels and value of each. */
function parse(text) {
  const samples = []
  for (const line of text.split("\n")) {
    const found = /^([a-z_]+)(?:\{(.*)\})? ([^ ]+)/.exec(line)
    if (!found) continue
    const labels = new Map([...(found[2] ?? "").matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map((it) => [it[1], it[2]]))
    samples.push({ name: found[1], labels, value: Number(found[3]) })
  }
  return samples
}

/** The sums of a plot's metric by the values of its label. */
function sums(samples, { metric, by, only }) {
  const sums = new Map()
  for (const { name, labels, value } of samples) {
    if (name !== metric || (only && labels.get(only[0]) !== only[1])) continue
    const line = by ? labels.get(by) : ""
    sums.set(line, (sums.get(line) ?? 0) + value)
  }
  return sums
}

function shown(value, unit) {
  const steps = ["", " k", " M", " G", " T"]
  let step = 0
  while (value >= 1000 && step < steps.length - 1) {
    value /= 1000
    step += 1
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(2)}${steps[step]}${unit ?? ""}`
}

function element(name, attributes = {}, ...children) {
  const it = name === "svg" || name === "polyline"
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value)
  it.append(...children)
  return it
}

class Plot {
  #of
  #points = new Map()
  #before = new Map()
  #figure

  constructor(of) {
    this.#of = of
  }

  /** Takes a reading that was made so many seconds after the one before. */
  take(samples, seconds) {
    const now = sums(samples, this.#of.lines)
    if (now.size === 0) return
    for (const [line, value] of now) {
      const was = this.#before.get(line)
      const point = this.#of.lines.rate ? (was === undefined ? 0 : Math.max(0, value - was) / seconds) : value
      const points = this.#points.get(line) ?? []
      points.push(point)
      if (points.length > KEPT) points.shift()
      this.#points.set(line, points)
    }
    this.#before = now
    this.#draw()
  }

  #draw() {
    // Lines that never left 0 say nothing.
    let lines = [...this.#points].filter(([, points]) => points.some((it) => it > 0))
    lines.sort((a, b) => Math.max(...b[1]) - Math.max(...a[1]))
    lines = lines.slice(0, 4)
    const most = Math.max(1e-9, ...lines.flatMap(([, points]) => points))
    const longest = Math.max(2, ...lines.map(([, points]) => points.length))
    const svg = element("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" })
    const list = element("ul")
    for (const [at, [line, points]] of lines.entries()) {
      const path = points.map((it, x) => `${((x + longest - points.length) / (longest - 1)) * 100},${100 - (it / most) * 96}`)
      svg.append(element("polyline", { class: `s${at}`, points: path.join(" ") }))
      list.append(element("li", { class: `s${at}` }, `${line || "now"}: ${shown(points.at(-1), this.#of.unit)}`))
    }
    const extent = lines.length > 0 ? `at most ${shown(most, this.#of.unit)}` : "nothing yet"
    const figure = element("figure", {}, element("h2", {}, this.#of.title), svg, element("p", {}, extent))
    if (lines.length > 0) figure.append(list)
    if (this.#figure) this.#figure.replaceWith(figure)
    else document.getElementById("plots").append(figure)
    this.#figure = figure
  }
}

const plots = PLOTS.map((it) => new Plot(it))
let before

async function read() {
  const what = document.getElementById("what")
  try {
    const answer = await fetch("metrics", { headers: { accept: "application/openmetrics-text" } })
    if (!answer.ok) throw new Error(`status ${answer.status}`)
    const samples = parse(await answer.text())
    const now = performance.now()
    const build = samples.find((it) => it.name === "peersox_build_info")?.labels
    what.textContent = `version ${build?.get("version")}, role ${build?.get("role")}`
    for (const plot of plots) plot.take(samples, before ? (now - before) / 1000 : 1)
    before = now
  } catch (error) {
    what.textContent = `no answer: ${error.message}; trying again`
  }
  setTimeout(read, PAUSE)
}

read()
