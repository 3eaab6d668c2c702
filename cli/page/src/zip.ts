/**
 * Several files as one: downloads have no folders, an archive has. Nothing is compressed, and no bytes are held in memory:
 *
 * ```text
 *   header, file, header, file, …   then for each file once more its header, and where it is   then the end
 * ```
 *
 * The format is that of APPNOTE 6.3 without ZIP64, so there is a limit.
 */

/** What goes into it. */
export interface Packed {
  path: readonly string[]
  blob: Blob
  /** Milliseconds since the Unix epoch; null if unknown. */
  modified: number | null
}

/** Whether an archive can hold so much: 65,535 files and 4 GiB. */
export function canPack(files: readonly { path: readonly string[]; size: number }[]): boolean {
  const size = files.reduce((sum, it) => sum + it.size + 200 + 8 * it.path.join('/').length, 0)
  return files.length > 1 && files.length < 0xffff && size < 0xffffffff
}

/** Packs files. Reads each of them once, for its checksum. */
export async function pack(files: readonly Packed[]): Promise<Blob> {
  const parts: BlobPart[] = []
  const list: BlobPart[] = []
  let at = 0
  let listed = 0
  for (const { path, blob, modified } of files) {
    const name = new TextEncoder().encode(path.join('/'))
    // Version 2.0, names in UTF-8, stored.
    const common = [...two(20), ...two(0x0800), ...two(0), ...dosTime(modified), ...four(await crc(blob)), ...four(blob.size), ...four(blob.size), ...two(name.length), ...two(0)]
    const header = Uint8Array.from([...four(0x04034b50), ...common])
    const entry = Uint8Array.from([...four(0x02014b50), ...two(20), ...common, ...two(0), ...two(0), ...two(0), ...four(0), ...four(at)])
    parts.push(header, name, blob)
    list.push(entry, name)
    at += header.length + name.length + blob.size
    listed += entry.length + name.length
  }
  const count = two(files.length)
  const end = Uint8Array.from([...four(0x06054b50), ...two(0), ...two(0), ...count, ...count, ...four(listed), ...four(at), ...two(0)])
  return new Blob([...parts, ...list, end], { type: 'application/zip' })
}

/** The folder that all of it is in, else `files`. */
export function archiveName(files: readonly { path: readonly string[] }[]): string {
  const first = files[0]?.path
  const folder = first && first.length > 1 && files.every((it) => it.path[0] === first[0]) ? first[0] : undefined
  return `${folder ?? 'files'}.zip`
}

function two(value: number): number[] {
  return [value & 255, (value >>> 8) & 255]
}

function four(value: number): number[] {
  return [...two(value & 0xffff), ...two(Math.floor(value / 0x10000))]
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
