import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Emitter } from '../src/api/emitter.js'
import { Waiters } from '../src/api/waiters.js'

class Radio extends Emitter {
  heard = []
  listened(type) {
    this.heard.push(type)
  }
  say(type, value) {
    this.emit(type, value)
  }
  has(type) {
    return this.hasListener(type)
  }
}

test('on, once and off are given the value itself', () => {
  const radio = new Radio()
  const got = []
  const all = (value) => got.push(`all ${value}`)
  radio.on('news', all).once('news', (value) => got.push(`once ${value}`))
  radio.say('news', 1)
  radio.say('news', 2)
  radio.off('news', all)
  radio.say('news', 3)
  assert.deepEqual(got, ['all 1', 'once 1', 'all 2'])
})

test('a listener that is added twice is called once', () => {
  const radio = new Radio()
  let calls = 0
  const listener = () => calls++
  radio.on('news', listener).on('news', listener)
  radio.say('news', 1)
  assert.equal(calls, 1)
})

test('addEventListener is given a CustomEvent with the value as its detail', () => {
  const radio = new Radio()
  let detail
  radio.addEventListener('news', (event) => (detail = event.detail))
  radio.say('news', 7)
  assert.equal(detail, 7)
})

test('the emitter knows who listens', () => {
  const radio = new Radio()
  assert.equal(radio.has('news'), false)
  radio.on('news', () => {})
  assert.equal(radio.has('news'), true)
  assert.deepEqual(radio.heard, ['news'])
})

test('a listener that is gone does not count, however it went', () => {
  const radio = new Radio()
  const listener = () => {}
  const gone = new AbortController()
  const ways = [
    () => (radio.on('news', listener), radio.off('news', listener)),
    () => (radio.once('news', listener), radio.say('news', 1)),
    () => (radio.once('news', listener), radio.off('news', listener)),
    () => (radio.addEventListener('news', listener), radio.removeEventListener('news', listener)),
    () => (radio.addEventListener('news', listener, true), radio.removeEventListener('news', listener, { capture: true })),
    () => (radio.addEventListener('news', listener, { once: true }), radio.say('news', 1)),
    () => (radio.addEventListener('news', listener, { signal: gone.signal }), gone.abort()),
    () => radio.addEventListener('news', listener, { signal: AbortSignal.abort() }),
    () => radio.addEventListener('news', null),
  ]
  for (const [at, way] of ways.entries()) {
    way()
    assert.equal(radio.has('news'), false, `way ${at}`)
  }
})

test('a listener counts once however often it is added, and stays counted until it is gone', () => {
  const radio = new Radio()
  const listener = () => {}
  radio.addEventListener('news', listener, { once: true })
  radio.removeEventListener('news', listener)
  radio.addEventListener('news', listener)
  radio.addEventListener('news', listener, { once: true })
  radio.say('news', 1)
  assert.equal(radio.has('news'), true)
  radio.removeEventListener('news', listener, true)
  assert.equal(radio.has('news'), true)
  radio.removeEventListener('news', listener)
  assert.equal(radio.has('news'), false)
})

test('who listens once does not count any more while it is told', () => {
  const radio = new Radio()
  const seen = []
  radio.once('news', () => seen.push(radio.has('news')))
  radio.say('news', 1)
  assert.deepEqual(seen, [false])
})

test('waiters are settled together, and those who come later wait for the next time', async () => {
  const waiters = new Waiters()
  const [one, two] = [waiters.next(), waiters.next()]
  waiters.settle(5)
  const later = waiters.next()
  assert.deepEqual(await Promise.all([one, two]), [5, 5])
  waiters.fail(new Error('over'))
  await assert.rejects(later, /over/)
})
