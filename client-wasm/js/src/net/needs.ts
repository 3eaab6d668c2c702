/** Throws unless the environment has globals of these names: says which are missing. @internal */
export function needs(...names: string[]): void {
  const missing = names.filter((name) => !(name in globalThis))
  if (missing.length > 0) throw new Error(`this environment has no ${missing.join(', ')}`)
}
