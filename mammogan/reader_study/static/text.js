// What the application says, in the language of the study.

const { text } = globalThis.STUDY;

/** Return a text with its holes filled in, as {n}. */
export function words(key, values = {}) {
  return text[key].replace(/\{([a-z]+)\}/g, (hole, name) => (name in values ? values[name] : hole));
}
