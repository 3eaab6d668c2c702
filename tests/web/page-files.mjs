// Files on the page: between two of them, and with a terminal.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { check, ownNetwork, sha256 } from './harness.mjs'
import { connected, done, downloaded, file, meet, ownOnly, save, showCode, typeCode } from './people.mjs'

export async function pageFileChecks() {
  await check('page: files go both ways, verified, with a pause', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    const directory = scope.directory()
    const large = file(directory, 'large.bin', 30_000_000)
    await a.setInputFiles('#files', large.path)
    await b.getByRole('button', { name: 'Accept' }).click()
    const receiving = b.locator('.transfer.theirs')
    await receiving.locator('progress').waitFor()
    await receiving.getByRole('button', { name: 'Pause' }).click()
    await b.locator('.transfer[data-state=paused]').waitFor()
    const download = b.waitForEvent('download')
    await receiving.getByRole('button', { name: 'Resume' }).click()
    await done(a, b)
    equal(await downloaded(await download), large.hash, 'the hash')

    const small = [file(directory, 'one.txt', 10_000), file(directory, 'empty.txt', 0)]
    await b.setInputFiles('#files', small.map((it) => it.path))
    await a.getByRole('button', { name: 'Accept' }).click()
    await a.locator('.transfer.theirs[data-state=done]').waitFor()
    for (const it of small) {
      const saved = a.waitForEvent('download')
      await a.getByRole('button', { name: `Save ${it.name}` }).click()
      equal(await downloaded(await saved), it.hash, it.name)
    }

    // The same once more: everything is there already.
    await a.setInputFiles('#files', large.path)
    await b.getByRole('button', { name: 'Accept' }).click()
    const again = b.waitForEvent('download')
    await b.locator('.transfer.theirs').nth(1).locator('.verified:visible').waitFor()
    equal(await downloaded(await again), large.hash, 'the hash of the second time')
    ownOnly(url, a, b)
  })

  await check('page: a transfer goes on where it was after its receiver was closed', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await save(a, 'Tablet')
    await save(b, 'Laptop')
    const sent = file(scope.directory(), 'long.bin', 40_000_000)
    await a.setInputFiles('#files', sent.path)
    await b.getByRole('button', { name: 'Accept' }).click()
    await b.waitForFunction(() => document.querySelector('.transfer progress')?.value > 0.2)
    await b.close()
    const again = await scope.page(url, {}, b.context())
    await again.getByRole('button', { name: 'Accept' }).click()
    const download = again.waitForEvent('download')
    await again.locator('.transfer[data-state=done]').waitFor()
    equal(await downloaded(await download), sent.hash, 'the hash')
    return again.locator('.transfer .numbers').innerText()
  })

  await check('page: where it is not secure, it says that files are held in memory', async (scope) => {
    if (!ownNetwork) return { skip: 'every address is that of this machine' }
    const { url } = await scope.server([], '10.99.0.1:0')
    const { a, b } = await meet(scope, url)
    const sent = file(scope.directory(), 'small.bin', 1_000_000)
    await a.setInputFiles('#files', sent.path)
    await b.getByText('only hold files in memory').waitFor()
    const download = b.waitForEvent('download')
    await b.getByRole('button', { name: 'Accept' }).click()
    equal(await downloaded(await download), sent.hash, 'the hash')
  })

  await check('page: what is dropped is offered, and can be declined', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await a.evaluate(() => {
      const data = new DataTransfer()
      for (const name of ['x.txt', 'y.txt']) data.items.add(new File([`content of ${name}`], name))
      dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }))
    })
    await b.getByText('2 files').first().waitFor()
    await b.getByRole('button', { name: 'Decline' }).click()
    await a.locator('.transfer.mine[data-state=declined]').waitFor()
  })

  await check('page: a folder that is dropped arrives with peersox receive', async (scope) => {
    const { url } = await scope.server()
    const directory = scope.directory()
    const [folder, target] = [join(directory, 'holiday'), join(directory, 'received')]
    mkdirSync(join(folder, 'lake'), { recursive: true })
    mkdirSync(target)
    const [near, far] = [file(folder, 'near.bin', 300_000), file(join(folder, 'lake'), 'far.bin', 700_000)]
    const a = await scope.page(url)
    const code = await showCode(a)
    const receive = scope.spawn('receive', ['receive', '--json', '--server', url, '-y', '-o', target, code])
    await connected(a)
    const devtools = await a.context().newCDPSession(a)
    for (const type of ['dragEnter', 'dragOver', 'drop']) {
      const data = { items: [], files: [folder], dragOperationsMask: 1 }
      await devtools.send('Input.dispatchDragEvent', { type, x: 400, y: 300, data })
    }
    await a.locator('.transfer.mine[data-state=done]').waitFor()
    equal(await receive.exit, 0, 'exit code')
    equal(sha256(readFileSync(join(target, 'holiday/near.bin'))), near.hash, 'near.bin')
    equal(sha256(readFileSync(join(target, 'holiday/lake/far.bin'))), far.hash, 'far.bin')
  })

  await check('page: a folder that is chosen is offered as one', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    const folder = join(scope.directory(), 'holiday')
    mkdirSync(join(folder, 'lake'), { recursive: true })
    const sent = [file(folder, 'near.bin', 1_000), file(join(folder, 'lake'), 'far.bin', 2_000)]
    await a.setInputFiles('#folder', folder)
    await b.locator('.transfer').getByText('holiday/', { exact: true }).waitFor()
    await b.getByText('2 files · 3.00 kB').waitFor()
    await b.getByRole('button', { name: 'Accept' }).click()
    const saved = b.waitForEvent('download')
    await b.getByRole('button', { name: 'Save holiday/lake/far.bin' }).click()
    equal(await downloaded(await saved), sent[1].hash, 'far.bin')
  })

  await check('page: a folder that arrives is saved as one archive', async (scope) => {
    const { url } = await scope.server()
    const directory = scope.directory()
    const folder = join(directory, 'holiday')
    mkdirSync(join(folder, 'größer'), { recursive: true })
    const sent = [file(folder, 'near.bin', 300_000), file(join(folder, 'größer'), 'far.bin', 5_000_000), file(folder, 'empty.bin', 0)]
    const send = scope.spawn('send', ['send', '--json', '--server', url, folder])
    const a = await scope.page(url)
    await typeCode(a, await scope.code(send))
    await a.getByRole('button', { name: 'Accept' }).click()
    const pressed = a.waitForEvent('download')
    await a.getByRole('button', { name: 'Save as .zip' }).click()
    const download = await pressed
    equal(download.suggestedFilename(), 'holiday.zip', 'the name')
    await a.getByText('given to your downloads').first().waitFor()
    // Another program has to understand it.
    execFileSync('python3', ['-m', 'zipfile', '-e', await download.path(), join(directory, 'unpacked')])
    for (const it of sent) {
      const path = it.path.replace(folder, join(directory, 'unpacked/holiday'))
      equal(sha256(readFileSync(path)), it.hash, it.name)
    }
    equal(await send.exit, 0, 'exit code of send')
  })

  await check('page: receives from peersox send', async (scope) => {
    const { url } = await scope.server()
    const directory = scope.directory()
    const sent = file(directory, 'from-terminal.bin', 20_000_000)
    const send = scope.spawn('send', ['send', '--json', '--server', url, sent.path])
    const a = await scope.page(url)
    await typeCode(a, await scope.code(send))
    const download = a.waitForEvent('download')
    await a.getByRole('button', { name: 'Accept' }).click()
    equal(await downloaded(await download), sent.hash, 'the hash')
    equal(await send.exit, 0, 'exit code')
  })

  await check('page: sends to peersox receive', async (scope) => {
    const { url } = await scope.server()
    const directory = scope.directory()
    const sent = file(directory, 'from-page.bin', 20_000_000)
    const target = join(directory, 'received')
    mkdirSync(target)
    const a = await scope.page(url)
    const code = await showCode(a)
    const receive = scope.spawn('receive', ['receive', '--json', '--server', url, '-y', '-o', target, code])
    await connected(a)
    await a.setInputFiles('#files', sent.path)
    await a.locator('.transfer.mine[data-state=done]').waitFor()
    equal(await receive.exit, 0, 'exit code')
    equal(sha256(readFileSync(join(target, 'from-page.bin'))), sent.hash, 'the hash')
  })

  await check('page: 300 MB go to a chosen folder as they arrive, and memory stays small', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await choosesOwnFolder(b)
    const directory = scope.directory()
    const sent = ['one.bin', 'two.bin', 'three.bin'].map((name) => file(directory, name, 100_000_000))
    await a.setInputFiles('#files', sent.map((it) => it.path))
    await b.getByRole('button', { name: 'Save to …' }).click()
    const devtools = await b.context().newCDPSession(b)
    let most = 0
    for (let share = 0.05; share < 1; share += 0.05) {
      await b.waitForFunction((share) => {
        const card = document.querySelector('.transfer.theirs')
        return card.querySelector('progress').value >= share || /done|failed/.test(card.dataset.state)
      }, share)
      most = Math.max(most, await memoryOf(b, devtools))
      // Of what came by then all but the last steps is in files already.
      if (share > 0.5 && (await chosen(b)).reduce((sum, it) => sum + it.size, 0) < 100_000_000) throw new Error('nothing is on the disk yet')
    }
    await done(b)
    for (const { name, size, hash } of await chosen(b, true)) {
      equal(`${size} ${hash}`, `100000000 ${sent.find((it) => it.name === name)?.hash}`, name)
    }
    if (most > 100_000_000) throw new Error(`${most} bytes of memory`)
    return `at most ${(most / 1e6).toFixed(0)} MB of memory`
  })

  await check('page: a single file goes where a person says', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await choosesOwnFolder(b)
    const sent = file(scope.directory(), 'photo.jpg', 5_000_000)
    await a.setInputFiles('#files', sent.path)
    await b.getByRole('button', { name: 'Save to …' }).click()
    await done(a, b)
    equal(JSON.stringify(await chosen(b, true)), JSON.stringify([{ name: 'photo.jpg', size: 5_000_000, hash: sent.hash }]), 'the file')
  })
}

/** Without a window nobody can choose: the choice is a folder of the browser's own file system, as real as another. */
async function choosesOwnFolder(page) {
  await page.evaluate(async () => {
    const own = await navigator.storage.getDirectory()
    globalThis.chosen = await own.getDirectoryHandle('chosen', { create: true })
    globalThis.showDirectoryPicker = async () => chosen
    globalThis.showSaveFilePicker = async ({ suggestedName }) => chosen.getFileHandle(suggestedName, { create: true })
  })
}

/** Bytes of objects, of the browser's own for the page, of buffers, and of WebAssembly. */
async function memoryOf(page, devtools) {
  const { usedSize, embedderHeapUsedSize, backingStorageSize } = await devtools.send('Runtime.getHeapUsage')
  const wasm = await page.evaluate(() => memories.map((it) => it.buffer.byteLength))
  equal(wasm.length, 1, 'WebAssembly instances')
  return usedSize + embedderHeapUsedSize + backingStorageSize + wasm[0]
}

/** What is in that folder. */
function chosen(page, hashed = false) {
  return page.evaluate(async (hashed) => {
    const files = []
    for await (const handle of chosen.values()) {
      // A part may just have become the file it is a part of.
      const file = await handle.getFile().catch(() => null)
      if (!file) continue
      const hash = hashed && new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer())).toHex()
      files.push({ name: handle.name, size: file.size, hash })
    }
    return files
  }, hashed)
}
