/**
 * Several files as one: downloads have no folders, an archive has. Nothing is compressed, and no bytes are held in memory:
 *
 * ```text
 *   header, file, header, file, …   then for each file once more its header, and where it is   then the end
 * ```
 *
 * The format is that of APPNOTE 6.3; what does not fit into its 16 and 32 bits is written as its ZIP64 says.
 */

/** What goes into it. */
export interface Packed {
  path: readonly string[]
  blob: Blob
  /** Milliseconds since the Unix epoch; null if unknown. */
  modified: number | null
}

/** Packs files. Reads each of them once, for its checksum. */
export async function pack(files: readonly Packed[]): Promise<Blob> {
  const parts: BlobPart[] = []
  const list: BlobPart[] = []
  let at = 0
  let listed = 0
  for (const { path, blob, modified } of files) {
    const name = new TextEncoder().encode(path.join('/'))
    const checksum = await crc(blob)
    const sizes = blob.size < MAX32 ? [] : [...eight(blob.size), ...eight(blob.size)]
    const offset = at < MAX32 ? [] : eight(at)
    // Version 2.0 or 4.5, names in UTF-8, stored.
    const common = (version: number, extra: readonly number[]) => [
      ...[...two(version), ...two(0x0800), ...two(0), ...dosTime(modified), ...four(checksum)],
      ...[...four(blob.size), ...four(blob.size), ...two(name.length), ...two(extra.length)],
    ]
    const local = zip64(sizes)
    const central = zip64([...sizes, ...offset])
    const header = Uint8Array.from([...four(0x04034b50), ...common(versionOf(local), local)])
    const entry = Uint8Array.from([...four(0x02014b50), ...two(versionOf(central)), ...common(versionOf(central), central), ...two(0), ...two(0), ...two(0), ...four(0), ...four(at)])
    parts.push(header, name, Uint8Array.from(local), blob)
    list.push(entry, name, Uint8Array.from(central))
    at += header.length + name.length + local.length + blob.size
    listed += entry.length + name.length + central.length
  }
  return new Blob([...parts, ...list, end(files.length, listed, at)], { type: 'application/zip' })
}

/** The last record: how many files there are, how long their list is, and where it begins. */
function end(count: number, listed: number, at: number): Uint8Array<ArrayBuffer> {
  const short = [...four(0x06054b50), ...two(0), ...two(0), ...two(count), ...two(count), ...four(listed), ...four(at), ...two(0)]
  if (count < MAX16 && listed < MAX32 && at < MAX32) return Uint8Array.from(short)
  const long = [...four(0x06064b50), ...eight(44), ...two(45), ...two(45), ...four(0), ...four(0), ...eight(count), ...eight(count), ...eight(listed), ...eight(at)]
  const where = [...four(0x07064b50), ...four(0), ...eight(at + listed), ...four(1)]
  return Uint8Array.from([...long, ...where, ...short])
}

/** As an extra field; empty if nothing is in it. */
function zip64(values: readonly number[]): number[] {
  return values.length === 0 ? [] : [...two(1), ...two(values.length), ...values]
}

function versionOf(extra: readonly number[]): number {
  return extra.length > 0 ? 45 : 20
}

/** What is at least so large stands elsewhere, and here stands this. */
const MAX16 = 0xffff
const MAX32 = 0xffffffff

function two(value: number): number[] {
  const it = Math.min(value, MAX16)
  return [it & 255, it >>> 8]
}

function four(value: number): number[] {
  const it = Math.min(value, MAX32)
  return [it & 255, (it >>> 8) & 255, (it >>> 16) & 255, it >>> 24]
}

function eight(value: number): number[] {
  return [...four(value % 2 ** 32), ...four(Math.floor(value / 2 ** 32))]
}

/** Time and date as MS-DOS has them: from 1980 on, in steps of two seconds, without a zone. */
function dosTime(modified: number | null): number[] {
  const date = new Date(modified ?? Date.now())
  const year = Math.min(127, Math.max(0, date.getFullYear() - 1980))
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1)
  return [...two(time), ...two((year << 9) | ((date.getMonth() + 1) << 5) | date.getDate())]
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

async function crc(blob: Blob): Promise<number> {
  let value = 0xffffffff
  for (let from = 0; from < blob.size; from += AT_ONCE) {
    const bytes = new Uint8Array(await blob.slice(from, from + AT_ONCE).arrayBuffer())
    for (const byte of bytes) value = TABLE[(value ^ byte) & 255]! ^ (value >>> 8)
  }
  return (value ^ 0xffffffff) >>> 0
}

const AT_ONCE = 4 << 20
