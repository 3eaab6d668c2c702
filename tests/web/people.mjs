// What people do on the page, and what they see.

import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { sha256 } from './harness.mjs'

/** Two pages that have paired. */
export async function meet(scope, url, options = {}, look = async () => {}) {
  const a = await scope.page(url, options)
  const b = await scope.page(url, options)
  await look(b)
  const code = await showCode(a)
  await look(a)
  await typeCode(b, code)
  await Promise.all([connected(a), connected(b)])
  return { a, b }
}

/** From then on this page looks for no direct path. To be given to `meet`, for instance. */
export async function relayOnly(page) {
  const box = page.locator('#relay-only')
  if (!(await box.isVisible())) await page.locator('details.more summary').click()
  await box.check()
}

export async function showCode(page) {
  await page.locator('#show-code').click()
  return shown(page)
}

export async function shown(page) {
  return (await page.locator('#shown-code').innerText()).replace(/\s/g, '')
}

export async function typeCode(page, code) {
  await page.locator('#code').fill(code)
  await page.getByRole('button', { name: 'Connect' }).click()
}

/** Resolves when the page's service worker takes what the page asks for. */
export function isKept(page) {
  return page.evaluate(async () => {
    await navigator.serviceWorker.ready
    if (!navigator.serviceWorker.controller) await new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }))
  })
}

/** Follows a link with a code in a page of its own, and says yes. */
export async function follow(scope, link, options = {}) {
  const page = await scope.page(link, options)
  await agree(page)
  return page
}

/** Says yes to the question that a link brings. */
export async function agree(page) {
  await page.getByText('Connect to the device that shows this code?').waitFor()
  await page.getByRole('button', { name: 'Connect' }).click()
}

export const connected = (page) => page.locator('.chip[data-state=on]').waitFor()
export const direct = (page) => page.getByText('Connected directly').waitFor()

export async function say(page, text) {
  await page.locator('.composer textarea').fill(text)
  await page.locator('.composer textarea').press('Enter')
}

/** Says many things at once, as fast as the page takes them. */
export async function sayAll(page, texts) {
  await page.evaluate((texts) => {
    const box = document.querySelector('.composer textarea')
    for (const text of texts) {
      box.value = text
      box.form.requestSubmit()
    }
  }, texts)
}

export const heard = (page, text) => page.locator('.line.theirs .bubble', { hasText: text }).first().waitFor()

export async function save(page, name) {
  await page.locator('#device-name').fill(name)
  await page.locator('#save-device').click()
  await page.getByRole('button', { name: 'Forget' }).waitFor()
}

export async function done(...pages) {
  await Promise.all(pages.map((it) => it.locator('.transfer[data-state=done]').first().waitFor()))
}

/** A file of random bytes. */
export function file(directory, name, size) {
  const path = join(directory, name)
  const bytes = randomBytes(size)
  writeFileSync(path, bytes)
  return { path, name, hash: sha256(bytes) }
}

export async function downloaded(download) {
  return sha256(readFileSync(await download.path()))
}

/** Nothing was asked of anybody else, and no policy was broken. */
export function ownOnly(url, ...pages) {
  const own = new URL(url).host
  for (const page of pages) {
    const others = page.requests.filter((it) => !it.startsWith('blob:') && new URL(it).host !== own)
    equal(others.join(), '', 'requests to others')
    equal(page.problems.join('\n'), '', 'errors in the console')
  }
}
