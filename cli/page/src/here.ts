/** Where this page and its server are: below a path if a proxy serves them there. */
export const HERE = new URL('.', location.href).href.replace(/\/$/, '')
