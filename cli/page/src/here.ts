/** Where this page and its server are: below a path if a proxy serves them there. */
export const HERE = new URL('.', location.href).href.replace(/\/$/, '')
/** Said beside what only this machine can open; nothing elsewhere. */
export const ONLY_HERE = /^(localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname)
  ? `This page was opened as ${location.hostname}, so its links, QR codes and commands work on this machine only. For other devices, open it by the address that this machine has in your network.`
  : ''
