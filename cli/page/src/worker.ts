/** Writes received files into the browser's own file system: only a worker may do so in place. */

import type { Request } from './private.js'

interface Handle {
  truncate(size: number): void
  write(bytes: Uint8Array, options: { at: number }): number
  flush(): void
  close(): void
}

let file: Handle | null = null
let at = 0
let line: Promise<void> = Promise.resolve()

self.onmessage = ({ data }: MessageEvent<Request>) => {
  line = line.then(async () => {
    try {
      await act(data)
      self.postMessage({ call: data.call })
    } catch (error) {
      self.postMessage({ call: data.call, error: String(error) })
    }
  })
}

async function act(request: Request): Promise<void> {
  switch (request.op) {
    case 'open': {
      file?.close()
      const storage = await navigator.storage.getDirectory()
      const received = await storage.getDirectoryHandle('received', { create: true })
      const folder = await received.getDirectoryHandle(request.folder, { create: true })
      const handle = await folder.getFileHandle(request.file, { create: true })
      file = await (handle as unknown as { createSyncAccessHandle(): Promise<Handle> }).createSyncAccessHandle()
      at = request.offset
      file.truncate(at)
      return
    }
    case 'write': {
      const written = file?.write(request.bytes, { at }) ?? 0
      if (written !== request.bytes.length) throw new Error('the disk is full')
      at += written
      return
    }
    case 'close':
      file?.flush()
      file?.close()
      file = null
  }
}
