/** Where this page and its server are: below a path if a proxy serves them there. */
export const HERE = new URL('.', location.href).href.replace(/\/$/, '')
/** Said beside what only this machine can open; nothing elsewhere. */
export const ONLY_HERE = /^(localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname)
  ? `This page was opened as ${location.hostname}: its link, QR code and commands work on this machine only. For another device, open the page by this machine’s address in your network; the server listens there with --listen.`
  : ''
